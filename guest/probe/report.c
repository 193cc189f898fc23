// What a process sees of itself, as JSON.
#include <dirent.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "probe.h"

#define GROUPS_MAX 1024

extern char **environ;

static void print_string(const char *text) {
  putchar('"');
  for (; *text != '\0'; text++) {
    if (*text == '"' || *text == '\\') {
      printf("\\%c", *text);
    } else if ((unsigned char)*text < 0x20) {
      printf("\\u%04x", (unsigned)*text);
    } else {
      putchar(*text);
    }
  }
  putchar('"');
}

static void print_key(const char *key) {
  printf(",");
  print_string(key);
  printf(":");
}

static void print_status(const char *field, const char *key) {
  FILE *file = fopen("/proc/self/status", "re");
  char line[512];
  size_t length = strlen(field);
  while (file != NULL && fgets(line, sizeof line, file) != NULL) {
    if (strncmp(line, field, length) != 0 || line[length] != ':') continue;
    char *value = line + length + 1 + strspn(line + length + 1, " \t");
    value[strcspn(value, "\n")] = '\0';
    print_key(key);
    print_string(value);
  }
  if (file != NULL) fclose(file);
}

static void print_lines(const char *path, const char *key) {
  FILE *file = fopen(path, "re");
  char line[4096];
  const char *separator = "";
  print_key(key);
  printf("[");
  while (file != NULL && fgets(line, sizeof line, file) != NULL) {
    line[strcspn(line, "\n")] = '\0';
    printf("%s", separator);
    print_string(line);
    separator = ",";
  }
  printf("]");
  if (file != NULL) fclose(file);
}

static void print_groups(void) {
  gid_t groups[GROUPS_MAX];
  int count = getgroups(GROUPS_MAX, groups);
  print_key("groups");
  printf("[");
  for (int index = 0; index < count; index++) printf("%s%u", index > 0 ? "," : "", groups[index]);
  printf("]");
}

static void print_namespaces(void) {
  static const char *const names[] = {"mnt", "pid", "net", "uts", "ipc", "cgroup", "user"};
  const char *separator = "";
  print_key("namespaces");
  printf("{");
  for (size_t index = 0; index < sizeof names / sizeof names[0]; index++) {
    char path[64];
    char target[64];
    snprintf(path, sizeof path, "/proc/self/ns/%s", names[index]);
    ssize_t length = readlink(path, target, sizeof target - 1);
    target[length < 0 ? 0 : length] = '\0';
    printf("%s\"%s\":", separator, names[index]);
    print_string(target);
    separator = ",";
  }
  printf("}");
}

static void print_processes(void) {
  DIR *folder = opendir("/proc");
  struct dirent *entry;
  const char *separator = "";
  print_key("processes");
  printf("[");
  while (folder != NULL && (entry = readdir(folder)) != NULL) {
    if (strspn(entry->d_name, "0123456789") != strlen(entry->d_name)) continue;
    printf("%s%s", separator, entry->d_name);
    separator = ",";
  }
  printf("]");
  if (folder != NULL) closedir(folder);
}

static void print_environment(void) {
  const char *separator = "";
  print_key("env");
  printf("[");
  for (char **variable = environ; *variable != NULL; variable++) {
    printf("%s", separator);
    print_string(*variable);
    separator = ",";
  }
  printf("]");
}

int command_report(int count, char **arguments) {
  (void)count;
  (void)arguments;
  struct utsname names;
  char folder[4096] = "";
  uname(&names);
  printf("{\"uid\":%u,\"gid\":%u,\"pid\":%d,\"tty\":%s", getuid(), getgid(), getpid(), isatty(0) ? "true" : "false");
  print_groups();
  print_key("hostname");
  print_string(names.nodename);
  print_key("domainname");
  print_string(names.domainname);
  print_key("kernel");
  print_string(names.release);
  print_key("cwd");
  print_string(getcwd(folder, sizeof folder) != NULL ? folder : "");
  print_status("CapEff", "capEff");
  print_status("CapPrm", "capPrm");
  print_status("CapBnd", "capBnd");
  print_status("CapAmb", "capAmb");
  print_status("NoNewPrivs", "noNewPrivs");
  print_status("Seccomp", "seccomp");
  print_lines("/proc/self/mounts", "mounts");
  print_lines("/proc/self/cgroup", "cgroup");
  print_lines("/proc/self/limits", "limits");
  print_lines("/proc/self/oom_score_adj", "oomScoreAdj");
  print_namespaces();
  print_processes();
  print_environment();
  printf("}\n");
  return 0;
}
