// The pod as a whole: identity, time, network, pod-wide files, its end.
#pragma once

#include <stdbool.h>

#include "error.h"
#include "request.h"

bool sandbox_is_configured(void);
bool sandbox_shares_pid_namespace(void);
bool sandbox_has_scratch(void);
void sandbox_configure(const Hyperstart__V1__ConfigureSandbox *request, struct reply reply);
int sandbox_configure_network(const Hyperstart__V1__ConfigureNetwork *request, struct error *error);
int sandbox_set_clock(const Hyperstart__V1__SetClock *request, struct error *error);
// Answers, ends every container, syncs, unmounts and powers off.
void sandbox_shutdown(const Hyperstart__V1__Shutdown *request, struct reply reply);
