/* SPDX-License-Identifier: MIT */
#ifndef HMMU_TOOL_COMMANDS_H
#define HMMU_TOOL_COMMANDS_H

/*
 * The commands of `hmmu`. Each gets the arguments that begin with its own name
 * and returns an exit status, see enum tool_status.
 */
int cmd_info(int argc, char **argv);
int cmd_demo(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cmd_dmirror(int argc, char **argv);

#endif
