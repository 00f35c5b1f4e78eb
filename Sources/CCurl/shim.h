#pragma once
#include <curl/curl.h>
#include <string.h>
#include <sys/prctl.h>

// curl_easy_setopt and curl_easy_getinfo take their value through `...`, which Swift can't call.
// Here is one form for each kind of value. An option of another kind is undefined behaviour, as in C.

static inline CURLcode cc_set_long(CURL *curl, CURLoption option, long value) { return curl_easy_setopt(curl, option, value); }

/// libcurl copies the text. NULL sets the option back to nothing, which is not always its default.
static inline CURLcode cc_set_text(CURL *curl, CURLoption option, const char *value) { return curl_easy_setopt(curl, option, value); }

/// libcurl keeps the pointer: it must live until the transfer is over.
static inline CURLcode cc_set_pointer(CURL *curl, CURLoption option, const void *value) {
    return curl_easy_setopt(curl, option, value);
}

static inline CURLcode cc_set_size(CURL *curl, CURLoption option, curl_off_t value) { return curl_easy_setopt(curl, option, value); }

static inline CURLcode cc_set_headers(CURL *curl, struct curl_slist *headers) {
    return curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
}

static inline CURLcode cc_set_writer(CURL *curl, curl_write_callback writer) {
    return curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, writer);
}

static inline CURLcode cc_set_reader(CURL *curl, curl_read_callback reader) {
    return curl_easy_setopt(curl, CURLOPT_READFUNCTION, reader);
}

static inline CURLcode cc_set_seeker(CURL *curl, curl_seek_callback seeker) {
    return curl_easy_setopt(curl, CURLOPT_SEEKFUNCTION, seeker);
}

static inline CURLcode cc_set_progress(CURL *curl, curl_xferinfo_callback progress) {
    return curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, progress);
}

static inline CURLcode cc_get_long(CURL *curl, CURLINFO info, long *value) { return curl_easy_getinfo(curl, info, value); }

static inline CURLcode cc_get_size(CURL *curl, CURLINFO info, curl_off_t *value) { return curl_easy_getinfo(curl, info, value); }

/// Frees the list and overwrites its texts first: one may be a session token.
static inline void cc_free_headers(struct curl_slist *headers) {
    for (struct curl_slist *at = headers; at; at = at->next) explicit_bzero(at->data, strlen(at->data));
    curl_slist_free_all(headers);
}

/// Names the calling thread, with 15 characters at most. prctl is variadic too.
static inline void cc_name_thread(const char *name) { prctl(PR_SET_NAME, name); }
