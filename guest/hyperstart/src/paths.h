// Our own places in the guest. Short, because an overlay of many layers must fit one page of mount options.
#pragma once

#define PATH_RUN "/run/h"
#define PATH_VOLUMES PATH_RUN "/v"
#define PATH_FILE_SETS PATH_RUN "/files"
#define PATH_MEMORY_FILE_SETS PATH_RUN "/memory-files"
#define PATH_MEMORY_DIRS PATH_RUN "/memory-dirs"
#define PATH_SCRATCH PATH_RUN "/scratch"
#define PATH_ROOTFS PATH_RUN "/rootfs" // mount point of a container's root, in its own mount namespace only
#define PATH_POD_FILES PATH_RUN "/pod" // resolv.conf, hosts, hostname, machine-id
#define PATH_SHM PATH_RUN "/shm"
#define PATH_CGROUP_POD "/sys/fs/cgroup/pod"
