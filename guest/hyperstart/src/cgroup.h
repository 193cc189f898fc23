// One cgroup (v2) per container, below PATH_CGROUP_POD.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "error.h"

int cgroup_create(const char *container_id, struct error *error);
// Applies what is set; zero fields leave the present value.
int cgroup_apply(const char *container_id, const Hyperstart__V1__Resources *resources, struct error *error);
int cgroup_open(const char *container_id); // descriptor for CLONE_INTO_CGROUP, or -1 with errno
int cgroup_kill(const char *container_id, int signal);
// Removes the cgroup and those a container made inside; waits up to 10 s for the last process to be gone. For workers.
int cgroup_remove(const char *container_id, struct error *error);
int cgroup_open_memory_events(const char *container_id);
uint64_t cgroup_oom_kills(int memory_events_fd);
void cgroup_stats(const char *container_id, Hyperstart__V1__ContainerStats *stats);

// cgroup v1 shares (2-262144, 1024 = one CPU) to cgroup v2 weight (1-10000), the mapping all container runtimes use.
uint64_t cgroup_weight_of_shares(uint64_t shares);
