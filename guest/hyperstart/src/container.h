// Containers of the pod and the processes executed in them.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "error.h"
#include "request.h"

void container_create(const Hyperstart__V1__CreateContainer *request, struct reply reply);
void container_start(const Hyperstart__V1__StartContainer *request, struct reply reply);
void container_exec(const Hyperstart__V1__Exec *request, struct reply reply);
void container_remove(const Hyperstart__V1__RemoveContainer *request, struct reply reply);
int container_signal(const Hyperstart__V1__SignalProcess *request, struct error *error);
int container_resize_terminal(const Hyperstart__V1__ResizeTerminal *request, struct error *error);
int container_update_resources(const Hyperstart__V1__UpdateResources *request, struct error *error);
void container_kill_all(void);
bool container_any_is_running(void);
// Both arrays and their entries are allocated; freed with the message (protobuf-c's free_unpacked).
Hyperstart__V1__ContainerState **container_states(size_t *count);
Hyperstart__V1__ContainerStats **container_stats(size_t *count);
// Ids in the order of container_stats. To be freed, strings too.
char **container_ids(size_t *count);
// True if a container that is not removed has the volume as layer, root, mount or device.
bool container_uses_volume(const char *volume_id);
