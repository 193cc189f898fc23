// Requests of the host and their answers. Exactly one answer per request, at once or later, and only in the session that asked.
#pragma once

#include <stdint.h>

#include "error.h"

// Whom to answer: kept by work that takes longer.
struct reply {
  uint64_t request_id;
  uint32_t session;
};

void request_receive(const Hyperstart__V1__Request *request);
void reply_success(struct reply reply);
void reply_error(struct reply reply, const struct error *error);
// Fills in the request's id and sends it.
void reply_send(struct reply reply, Hyperstart__V1__Response *response);
