#pragma once
// p11-kit's headers use size_t without including its header.
#include <stddef.h>
// The names of struct members as GNU spells them; without it pkcs11.h renames them with macros, which Swift does not see.
#define CRYPTOKI_GNU 1
#include <p11-kit/pkcs11.h>
#include <p11-kit/p11-kit.h>
#include <p11-kit/uri.h>
