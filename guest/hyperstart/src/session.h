// What the host says, given to those who handle it.
#pragma once

#include <hyperstart/v1/hyperstart.pb-c.h>

void session_receive(const Hyperstart__V1__HostMessage *message);
