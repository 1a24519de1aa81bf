/* Makes mkdir(2) under a filter and says what it saw of it: seccomp-observer trace|trap. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void handler(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)context;
	printf("SIGSYS code %d call %d arch %#x errno %d\n", info->si_code, info->si_syscall, info->si_arch, info->si_errno);
	fflush(stdout);
	_exit(0);
}

static int trap(void)
{
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO };
	sigaction(SIGSYS, &action, NULL);
	syscall(SYS_mkdir, "/new", 0755);
	return 1;
}

static int trace(void)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		_exit(syscall(SYS_mkdir, "/new", 0755) == 0 ? 0 : 1);
	}
	waitpid(child, &status, 0);
	ptrace(PTRACE_SETOPTIONS, child, NULL, (void *)(PTRACE_O_TRACESECCOMP | PTRACE_O_EXITKILL));
	for (;;) {
		if (ptrace(PTRACE_CONT, child, NULL, NULL) != 0 || waitpid(child, &status, 0) != child)
			return 1;
		if (WIFEXITED(status))
			break;
		if (status >> 8 == (SIGTRAP | PTRACE_EVENT_SECCOMP << 8)) {
			unsigned long number = 0;
			ptrace(PTRACE_GETEVENTMSG, child, NULL, &number);
			printf("event %lu\n", number);
		}
	}
	printf("mkdir %d\n", WEXITSTATUS(status));
	return 0;
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	return strcmp(argv[1], "trap") == 0 ? trap() : trace();
}
