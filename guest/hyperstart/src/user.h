// Who a process is: Docker's and the OCI image specification's rules of "user[:group]", looked up in the container's own files.
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "error.h"

#define USER_GROUPS_MAX 1024u

struct identity {
  uid_t uid;
  gid_t gid;
  gid_t groups[USER_GROUPS_MAX];
  size_t group_count;
  char *home; // to be freed
};

// passwd and group are the contents of the files, NULL when the container has none.
int user_resolve(const Hyperstart__V1__User *user, const char *passwd, const char *group, struct identity *identity,
                 struct error *error);
