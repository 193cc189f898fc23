// Usage of the pod and its containers.
#pragma once

#include "request.h"

void stats_get(struct reply reply);
