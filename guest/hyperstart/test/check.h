// The smallest test helper: a failed check says where and ends the program.
#pragma once

#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                                                                         \
  do {                                                                                                                           \
    if (!(condition)) {                                                                                                          \
      fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);                                                  \
      exit(1);                                                                                                                   \
    }                                                                                                                            \
  } while (0)
