#include "user.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "memory.h"

#define ID_MAX 4294967294u // 2^32 - 1 means "no change" to the kernel
#define FIELDS_MAX 7

struct account {
  char *name; // "" if none
  uid_t uid;
  gid_t gid;
  char *home; // "" if none
};

static bool parse_id(const char *text, uint32_t *id) {
  if (*text == '\0' || strspn(text, "0123456789") != strlen(text)) return false;
  errno = 0;
  unsigned long long value = strtoull(text, NULL, 10);
  if (errno != 0 || value > ID_MAX) return false;
  *id = (uint32_t)value;
  return true;
}

// Splits a line in place at colons. Missing fields are "".
static void split_fields(char *line, char *fields[FIELDS_MAX]) {
  static char nothing[1] = "";
  for (int index = 0; index < FIELDS_MAX; index++) {
    fields[index] = line != NULL ? line : nothing;
    if (line == NULL) continue;
    line = strchr(line, ':');
    if (line != NULL) *line++ = '\0';
  }
}

// Calls visit for each line's fields until it returns true.
static bool each_line(const char *text, bool (*visit)(char *fields[FIELDS_MAX], void *context), void *context) {
  cleanup_free char *copy = memory_copy_string(text == NULL ? "" : text);
  char *rest = NULL;
  for (char *line = strtok_r(copy, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
    char *fields[FIELDS_MAX];
    line += strspn(line, " \t");
    if (*line == '#' || *line == '\0') continue;
    split_fields(line, fields);
    if (visit(fields, context)) return true;
  }
  return false;
}

struct account_search {
  const char *name; // NULL: by number
  uid_t uid;
  struct account *account;
};

static bool account_matches(char *fields[FIELDS_MAX], void *context) {
  struct account_search *search = context;
  uint32_t uid;
  uint32_t gid;
  if (!parse_id(fields[2], &uid) || !parse_id(fields[3], &gid)) return false;
  if (search->name != NULL ? strcmp(fields[0], search->name) != 0 : uid != search->uid) return false;
  *search->account = (struct account){memory_copy_string(fields[0]), uid, gid, memory_copy_string(fields[5])};
  return true;
}

static bool find_account(const char *passwd, const char *name, uid_t uid, struct account *account) {
  struct account_search search = {name, uid, account};
  return each_line(passwd, account_matches, &search);
}

struct group_search {
  const char *name;
  gid_t gid;
};

static bool group_matches(char *fields[FIELDS_MAX], void *context) {
  struct group_search *search = context;
  return strcmp(fields[0], search->name) == 0 && parse_id(fields[2], &search->gid);
}

static void add_group(struct identity *identity, gid_t gid) {
  for (size_t index = 0; index < identity->group_count; index++) {
    if (identity->groups[index] == gid) return;
  }
  if (identity->group_count < USER_GROUPS_MAX) identity->groups[identity->group_count++] = gid;
}

struct membership {
  const char *name;
  struct identity *identity;
};

static bool membership_visit(char *fields[FIELDS_MAX], void *context) {
  struct membership *membership = context;
  uint32_t gid;
  if (!parse_id(fields[2], &gid)) return false;
  char *rest = NULL;
  for (char *member = strtok_r(fields[3], ",", &rest); member != NULL; member = strtok_r(NULL, ",", &rest)) {
    if (strcmp(member, membership->name) == 0) add_group(membership->identity, gid);
  }
  return false;
}

// The account of "name", "number", or the user's uid if there is no name.
static int resolve_account(const Hyperstart__V1__User *user, const char *name, const char *passwd, struct account *account,
                           struct error *error) {
  uint32_t uid = user->uid;
  if (*name != '\0') {
    if (find_account(passwd, name, 0, account)) return 0;
    if (!parse_id(name, &uid)) return error_set(error, CODE_INVALID, "user '%s' is not in the container's /etc/passwd", name);
  }
  if (!find_account(passwd, NULL, uid, account)) {
    *account = (struct account){memory_copy_string(""), uid, 0, memory_copy_string("")};
  }
  return 0;
}

static int resolve_group(const char *name, const char *group, gid_t *gid, struct error *error) {
  struct group_search search = {.name = name};
  if (each_line(group, group_matches, &search)) {
    *gid = search.gid;
    return 0;
  }
  uint32_t number;
  if (!parse_id(name, &number)) return error_set(error, CODE_INVALID, "group '%s' is not in the container's /etc/group", name);
  *gid = number;
  return 0;
}

int user_resolve(const Hyperstart__V1__User *user, const char *passwd, const char *group, struct identity *identity,
                 struct error *error) {
  static const Hyperstart__V1__User root = HYPERSTART__V1__USER__INIT;
  if (user == NULL) user = &root;
  *identity = (struct identity){0};
  cleanup_free char *name = memory_copy_string(user->name);
  char *group_name = strchr(name, ':');
  if (group_name != NULL) *group_name++ = '\0';
  bool group_named = group_name != NULL && *group_name != '\0';

  struct account account;
  if (resolve_account(user, name, passwd, &account, error) < 0) return -1;
  cleanup_free char *account_name = account.name;
  identity->uid = account.uid;
  identity->gid = account.gid;
  identity->home = account.home;
  if (group_named && resolve_group(group_name, group, &identity->gid, error) < 0) return -1;
  if (user->gid_set) identity->gid = user->gid;
  for (size_t index = 0; index < user->n_supplemental_groups; index++) add_group(identity, user->supplemental_groups[index]);
  if (!user->strict_groups && !group_named && *account_name != '\0') {
    struct membership membership = {account_name, identity};
    each_line(group, membership_visit, &membership);
  }
  return 0;
}
