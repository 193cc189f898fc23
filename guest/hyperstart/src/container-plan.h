// What a container's root is made of, found out by PID 1 before the fork.
#pragma once

#include "rootfs.h"

// To be freed with rootfs_plan_free; NULL with the error. request must outlive the plan.
struct rootfs_plan *container_plan(const Hyperstart__V1__CreateContainer *request, struct error *error);
