/* A PKCS#11 library that passes calls on to SoftHSM, answers some with an error when told so, and writes down what was called.
 *
 * FAULTS names a file of lines "FUNCTION CODE TIMES", read at each call; CALLS one that gets a line "FUNCTION THREAD" for each call.
 * Four words are no functions:
 *   "tokenFlags BITS 0"  adds flags to each token
 *   "ownIV 0 0"          has the token use an IV of its own, written over the caller's
 *   "ignoredIV 0 0"      one that it does not tell
 *   "garbled 0 0"        has it decrypt to something else
 */
#include <stddef.h>
#define CRYPTOKI_GNU 1
#include <p11-kit/pkcs11.h>

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct ck_function_list *real;
static struct ck_function_list ours;
static struct ck_gcm_params gcm;
static struct ck_mechanism mechanism_copy;
static unsigned char own_iv[12] = "its own iv!";

/* Code of the line for `name`, counting it down; 0 when there is none. */
static unsigned long told(const char *name)
{
    char lines[64][128];
    int count = 0, at = -1;
    unsigned long code = 0;
    FILE *file = fopen(FAULTS, "r");
    if (!file) return 0;
    while (count < 64 && fgets(lines[count], sizeof lines[count], file)) {
        char word[64];
        unsigned long answer;
        int times;
        if (sscanf(lines[count], "%63s %li %d", word, (long *)&answer, &times) == 3 && at < 0 && !strcmp(word, name)) {
            at = count;
            code = answer;
            if (times > 1) snprintf(lines[count], sizeof lines[count], "%s 0x%lx %d\n", word, answer, times - 1);
            if (times == 1) lines[count][0] = 0;
        }
        count++;
    }
    fclose(file);
    if (at >= 0 && (file = fopen(FAULTS, "w"))) {
        for (int i = 0; i < count; i++) fputs(lines[i], file);
        fclose(file);
    }
    return code;
}

static int has(const char *name)
{
    char line[128];
    FILE *file = fopen(FAULTS, "r");
    int found = 0;
    if (!file) return 0;
    while (fgets(line, sizeof line, file)) found |= !strncmp(line, name, strlen(name));
    fclose(file);
    return found;
}

static void called(const char *name)
{
    FILE *file = fopen(CALLS, "a");
    if (!file) return;
    fprintf(file, "%s %ld\n", name, syscall(SYS_gettid));
    fclose(file);
}

#define FAULTY(name, parameters, arguments)        \
    static ck_rv_t faulty_##name parameters        \
    {                                              \
        called(#name);                             \
        unsigned long code = told(#name);          \
        return code ? code : real->name arguments; \
    }

FAULTY(C_Initialize, (void *a), (a))
FAULTY(C_Finalize, (void *a), (a))
FAULTY(C_GetSlotList, (unsigned char p, ck_slot_id_t *l, unsigned long *c), (p, l, c))
FAULTY(C_OpenSession, (ck_slot_id_t s, ck_flags_t f, void *a, ck_notify_t n, ck_session_handle_t *h), (s, f, a, n, h))
FAULTY(C_Login, (ck_session_handle_t s, ck_user_type_t u, unsigned char *p, unsigned long l), (s, u, p, l))
FAULTY(C_FindObjectsInit, (ck_session_handle_t s, struct ck_attribute *t, unsigned long c), (s, t, c))
FAULTY(C_GenerateKey, (ck_session_handle_t s, struct ck_mechanism *m, struct ck_attribute *t, unsigned long c, ck_object_handle_t *k),
       (s, m, t, c, k))
FAULTY(C_DestroyObject, (ck_session_handle_t s, ck_object_handle_t o), (s, o))
FAULTY(C_Encrypt, (ck_session_handle_t s, unsigned char *d, unsigned long l, unsigned char *e, unsigned long *n), (s, d, l, e, n))
FAULTY(C_DecryptInit, (ck_session_handle_t s, struct ck_mechanism *m, ck_object_handle_t k), (s, m, k))

static ck_rv_t faulty_C_Decrypt(ck_session_handle_t session, unsigned char *data, unsigned long length, unsigned char *plain,
                                unsigned long *plain_length)
{
    called("C_Decrypt");
    unsigned long code = told("C_Decrypt");
    if (code) return code;
    code = real->C_Decrypt(session, data, length, plain, plain_length);
    if (has("garbled") && code == CKR_OK && *plain_length) plain[0] ^= 1;
    return code;
}

static ck_rv_t faulty_C_GetTokenInfo(ck_slot_id_t slot, struct ck_token_info *info)
{
    ck_rv_t code = real->C_GetTokenInfo(slot, info);
    info->flags |= told("tokenFlags");
    return code;
}

static ck_rv_t faulty_C_EncryptInit(ck_session_handle_t session, struct ck_mechanism *mechanism, ck_object_handle_t key)
{
    called("C_EncryptInit");
    unsigned long code = told("C_EncryptInit");
    if (code) return code;
    if (has("ignoredIV")) {
        gcm = *(struct ck_gcm_params *)mechanism->parameter;
        gcm.iv_ptr = own_iv;
        mechanism_copy = *mechanism;
        mechanism_copy.parameter = &gcm;
        return real->C_EncryptInit(session, &mechanism_copy, key);
    }
    if (has("ownIV")) memcpy(((struct ck_gcm_params *)mechanism->parameter)->iv_ptr, own_iv, sizeof own_iv);
    return real->C_EncryptInit(session, mechanism, key);
}

ck_rv_t C_GetFunctionList(struct ck_function_list **list)
{
    if (!real) {
        void *softhsm = dlopen(SOFTHSM, RTLD_NOW | RTLD_LOCAL);
        CK_C_GetFunctionList get = softhsm ? (CK_C_GetFunctionList)dlsym(softhsm, "C_GetFunctionList") : NULL;
        if (!get || get(&real) != CKR_OK) return CKR_GENERAL_ERROR;
        ours = *real;
        ours.C_GetFunctionList = C_GetFunctionList;
        ours.C_Initialize = faulty_C_Initialize;
        ours.C_Finalize = faulty_C_Finalize;
        ours.C_GetSlotList = faulty_C_GetSlotList;
        ours.C_GetTokenInfo = faulty_C_GetTokenInfo;
        ours.C_OpenSession = faulty_C_OpenSession;
        ours.C_Login = faulty_C_Login;
        ours.C_FindObjectsInit = faulty_C_FindObjectsInit;
        ours.C_GenerateKey = faulty_C_GenerateKey;
        ours.C_DestroyObject = faulty_C_DestroyObject;
        ours.C_EncryptInit = faulty_C_EncryptInit;
        ours.C_Encrypt = faulty_C_Encrypt;
        ours.C_DecryptInit = faulty_C_DecryptInit;
        ours.C_Decrypt = faulty_C_Decrypt;
    }
    *list = &ours;
    return CKR_OK;
}
