// TCP connections from inside the pod's network, carried to the host by two streams.
#pragma once

#include "request.h"

void connection_open(const Hyperstart__V1__OpenConnection *request, struct reply reply);
