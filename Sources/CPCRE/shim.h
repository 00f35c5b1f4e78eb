#pragma once
// The library for UTF-8; the header declares nothing until it is told a width.
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
