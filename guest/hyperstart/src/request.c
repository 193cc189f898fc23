#include "request.h"

#include "channel.h"

void reply_send(struct reply reply, Hyperstart__V1__Response *response) {
  if (reply.session != channel_session()) return;
  response->request_id = reply.request_id;
  Hyperstart__V1__GuestMessage message = HYPERSTART__V1__GUEST_MESSAGE__INIT;
  message.kind_case = HYPERSTART__V1__GUEST_MESSAGE__KIND_RESPONSE;
  message.response = response;
  channel_send(&message);
}

void reply_success(struct reply reply) {
  Hyperstart__V1__Response response = HYPERSTART__V1__RESPONSE__INIT;
  reply_send(reply, &response);
}

void reply_error(struct reply reply, const struct error *error) {
  struct error copy = *error;
  Hyperstart__V1__Error content = HYPERSTART__V1__ERROR__INIT;
  content.code = copy.code;
  content.message = copy.message;
  Hyperstart__V1__Response response = HYPERSTART__V1__RESPONSE__INIT;
  response.error = &content;
  reply_send(reply, &response);
}

void request_receive(const Hyperstart__V1__Request *request) {
  struct reply reply = {.request_id = request->id, .session = channel_session()};
  struct error error;
  switch (request->operation_case) {
  default:
    error_set(&error, CODE_INVALID, "request %llu names no operation known here", (unsigned long long)request->id);
    reply_error(reply, &error);
  }
}
