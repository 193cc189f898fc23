// Sets of small files pushed by the host, swapped as a whole by a symbolic link, the way the kubelet does it:
//   <set>/..data -> ..<generation>,  <set>/<name> -> ..data/<name>,  <set>/..<generation>/<files>
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "error.h"

int fileset_put(const Hyperstart__V1__PutFiles *request, struct error *error);
int fileset_remove(const char *set_id, struct error *error);
// The folder to mount, to be freed; NULL if there is no such set.
char *fileset_path(const char *set_id);
size_t fileset_ids(char ***ids); // array to be freed, strings not
// Reads the end of a regular file of a set; to be freed, NULL with the error.
uint8_t *fileset_read(const Hyperstart__V1__GetFile *request, size_t *length, struct error *error);
