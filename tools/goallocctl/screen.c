// SPDX-License-Identifier: GPL-2.0-only
/*
 * A terminal as a screen with keys. What was on it comes back however the
 * program ends, unless it is by SIGKILL: every signal that ends a program by
 * default is caught, the terminal restored, and the signal sent again. Only
 * functions that may be called from a handler are used for that.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "goallocctl.h"
#include "screen.h"
#include "ticks.h"

/* The other screen, no cursor, no line breaks at the edge; and back. */
#define ENTER	"\033[?1049h\033[?25l\033[?7l\033[2J"
#define LEAVE	"\033[0m\033[?7h\033[?25h\033[?1049l"

static const int deadly[] = {
	SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGALRM, SIGUSR1, SIGUSR2, SIGXCPU,
	SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL,
};

static struct termios before, raw;
static bool has_keys;
static atomic_bool entered;

static void put(const char *text, size_t len)
{
	while (len) {
		ssize_t n = write(STDOUT_FILENO, text, len);

		if (n < 0 && errno != EINTR)
			return;
		if (n > 0) {
			text += n;
			len -= n;
		}
	}
}

static void set_up(void)
{
	if (has_keys)
		tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	put(ENTER, sizeof(ENTER) - 1);
	entered = 1;
}

void screen_leave(void)
{
	if (!entered)
		return;
	entered = 0;
	put(LEAVE, sizeof(LEAVE) - 1);
	if (has_keys)
		tcsetattr(STDIN_FILENO, TCSANOW, &before);
}

static void on_death(int signal)
{
	int saved = errno;

	/* The handler is gone by now: this ends the program on return. */
	screen_leave();
	raise(signal);
	errno = saved;
}

static void on_stop(int signal)
{
	int saved = errno;

	(void)signal;
	screen_leave();
	raise(SIGSTOP);
	set_up();
	errno = saved;
}

/* Only to interrupt poll(). */
static void on_resize(int signal)
{
	(void)signal;
}

static void catch(int signal, void (*handler)(int), int flags)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = flags }, old;

	/* What is ignored stays so, as under nohup. */
	if (!sigaction(signal, NULL, &old) && old.sa_handler == SIG_IGN)
		return;
	sigfillset(&action.sa_mask);
	sigaction(signal, &action, NULL);
}

/* Keys come from standard input if that is a terminal. */
bool screen_enter(void)
{
	size_t i;

	has_keys = isatty(STDIN_FILENO) && !tcgetattr(STDIN_FILENO, &before);
	if (has_keys) {
		raw = before;
		raw.c_lflag &= ~(ICANON | ECHO);
		raw.c_cc[VMIN] = 0;
		raw.c_cc[VTIME] = 0;
	}
	if (atexit(screen_leave))
		return false;
	for (i = 0; i < ARRAY_SIZE(deadly); i++)
		catch(deadly[i], on_death, SA_RESETHAND);
	catch(SIGTSTP, on_stop, 0);
	catch(SIGWINCH, on_resize, 0);
	set_up();
	return true;
}

/* Return: false if the terminal has gone. */
bool screen_write(const char *text, size_t len)
{
	errno = 0;
	put(text, len);
	return errno != EIO && errno != EBADF && errno != EPIPE;
}

/* What a terminal sends for a key with more than one byte. */
static int sequence(const char *s)
{
	static const struct {
		const char *text;
		int key;
	} keys[] = {
		{ "[A", KEY_UP }, { "OA", KEY_UP }, { "[B", KEY_DOWN }, { "OB", KEY_DOWN },
		{ "[D", KEY_LEFT }, { "OD", KEY_LEFT }, { "[C", KEY_RIGHT }, { "OC", KEY_RIGHT },
		{ "[5~", KEY_PAGE_UP }, { "[6~", KEY_PAGE_DOWN }, { "[H", KEY_HOME },
		{ "OH", KEY_HOME }, { "[1~", KEY_HOME }, { "[F", KEY_END }, { "OF", KEY_END },
		{ "[4~", KEY_END },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(keys); i++)
		if (!strcmp(keys[i].text, s))
			return keys[i].key;
	return KEY_NONE;
}

/* Waits for more of a sequence only as long as a terminal takes to send it. */
static bool next_byte(char *c, int wait)
{
	struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };

	return poll(&p, 1, wait) > 0 && read(STDIN_FILENO, c, 1) == 1;
}

static int read_key(void)
{
	char text[8];
	size_t n = 0;

	if (read(STDIN_FILENO, text, 1) != 1) {
		/* A terminal that has gone would be readable for ever. */
		has_keys = false;
		return KEY_NONE;
	}
	if (text[0] != '\033')
		return (unsigned char)text[0];
	while (n < sizeof(text) - 1 && next_byte(&text[n], 30)) {
		n++;
		if (n > 1 && text[n - 1] >= '@')
			break;
	}
	text[n] = '\0';
	return n ? sequence(text) : '\033';
}

/* The next key, or KEY_NONE at that time of ticks_now(), if not earlier. */
int screen_key(double until)
{
	struct pollfd p = { .fd = has_keys ? STDIN_FILENO : -1, .events = POLLIN };
	double left = until - ticks_now();

	if (left < 0)
		left = 0;
	if (poll(&p, 1, left * 1000 + 0.999) > 0)
		return read_key();
	return KEY_NONE;
}
