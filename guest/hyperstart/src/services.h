// The service portal: virtual services of the guest kernel (IPVS, masquerading, round robin), over generic netlink.
#pragma once

#include <stdint.h>

#include "error.h"

int services_update(const Hyperstart__V1__UpdateServices *request, struct error *error);
uint64_t services_generation(void);
// After the pod's addresses have changed.
void services_renew_addresses(void);
