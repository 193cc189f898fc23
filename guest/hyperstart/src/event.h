// Events for the host: numbered, kept until acknowledged, sent again after each Hello.
#pragma once

#include <stdbool.h>

#include <hyperstart/v1/hyperstart.pb-c.h>

void event_process_exited(const Hyperstart__V1__ProcessExited *exited);
void event_out_of_memory(const char *container_id);
void event_receive_ack(uint64_t sequence);
void event_replay(void);
// True when so many events wait that nothing may be started that would make more.
bool event_backlog_is_full(void);
