// One function per subcommand: arguments after its name, exit code back.
#pragma once

int command_serve(int count, char **arguments);
int command_udp_serve(int count, char **arguments);
int command_get(int count, char **arguments);
int command_tcp(int count, char **arguments);
int command_udp(int count, char **arguments);
int command_resolve(int count, char **arguments);
int command_report(int count, char **arguments);
