/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How a module is told what to do: a line written to a file in debugfs is a verb and
 * what belongs to it, and is done at once, in the task that writes. What came of it can
 * be read afterwards. Each module has a table of its verbs.
 */
#ifndef COMMANDS_H
#define COMMANDS_H

#include <linux/debugfs.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/kstrtox.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/seq_file.h>
#include <linux/string.h>
#include <linux/types.h>
#include <linux/uaccess.h>

#define COMMAND_LINE	128
#define COMMAND_NUMBERS	5

struct command;

/**
 * struct order - a line, taken apart
 * @command: what it is
 * @verb: its first word
 * @word: the second one, where the command has one
 * @numbers: and the numbers behind it; of those below 0 the two's complement
 */
struct order {
	const struct command *command;
	const char *verb;
	const char *word;
	u64 numbers[COMMAND_NUMBERS];
};

/**
 * struct command - a verb
 * @verb: the word; NULL for any other, as the last one of a table
 * @act: does it: 0, or a negative errno that the writer gets; NULL ends a table
 * @word: a word follows
 * @numbers: so many numbers follow
 * @meanwhile: it does not wait for the end of others
 */
struct command {
	const char *verb;
	int (*act)(const struct order *o);
	bool word;
	u8 numbers;
	bool meanwhile;
};

/**
 * struct commands - a file
 * @name: its name
 * @table: what can be written to it
 * @before: if not NULL, what is done before each of them; but for 0 its answer is the
 *	writer's, and the command is not done
 * @show: what is read; NULL for nothing
 * @mutex: held for a command, and for @show
 * @file: the file
 */
struct commands {
	const char *name;
	const struct command *table;
	int (*before)(const struct order *o);
	int (*show)(struct seq_file *m);
	struct mutex mutex;	/* one command at a time, or one reader */
	struct dentry *file;
};

static char *order_word(char **rest)
{
	char *word;

	do {
		word = strsep(rest, "\n ");
	} while (word && !*word);
	return word;
}

/* All of it must have a meaning. */
static int order_read(const struct command *c, char *line, struct order *o)
{
	char *word;
	int i;

	o->verb = order_word(&line);
	if (!o->verb)
		return -EINVAL;
	while (c->verb && strcmp(c->verb, o->verb))
		c++;
	if (!c->act)
		return -EINVAL;
	o->command = c;
	if (c->word) {
		o->word = order_word(&line);
		if (!o->word)
			return -EINVAL;
	}
	for (i = 0; i < c->numbers; i++) {
		word = order_word(&line);
		if (!word || (kstrtou64(word, 10, &o->numbers[i]) &&
			      kstrtos64(word, 10, (s64 *)&o->numbers[i])))
			return -EINVAL;
	}
	return order_word(&line) ? -EINVAL : 0;
}

static ssize_t commands_write(struct file *f, const char __user *from, size_t len, loff_t *pos)
{
	struct commands *c = file_inode(f)->i_private;
	char line[COMMAND_LINE];
	struct order o = {};
	int err;

	if (len >= sizeof(line))
		return -EINVAL;
	if (copy_from_user(line, from, len))
		return -EFAULT;
	line[len] = '\0';
	err = order_read(c->table, line, &o);
	if (err)
		return err;
	if (o.command->meanwhile)
		return o.command->act(&o) ?: len;
	mutex_lock(&c->mutex);
	if (c->before)
		err = c->before(&o);
	if (!err)
		err = o.command->act(&o);
	mutex_unlock(&c->mutex);
	return err ?: len;
}

static int commands_show(struct seq_file *m, void *v)
{
	struct commands *c = m->private;
	int err;

	if (!c->show)
		return 0;
	mutex_lock(&c->mutex);
	err = c->show(m);
	mutex_unlock(&c->mutex);
	return err;
}

static int commands_open(struct inode *inode, struct file *f)
{
	return single_open(f, commands_show, inode->i_private);
}

static const struct file_operations commands_fops = {
	.owner		= THIS_MODULE,
	.open		= commands_open,
	.read		= seq_read,
	.write		= commands_write,
	.llseek		= seq_lseek,
	.release	= single_release,
};

/* Makes the file, in a directory or at the top of debugfs. 0 or a negative errno. */
static inline int commands_begin(struct commands *c, struct dentry *dir)
{
	mutex_init(&c->mutex);
	c->file = debugfs_create_file(c->name, c->show ? 0600 : 0200, dir, c, &commands_fops);
	return PTR_ERR_OR_ZERO(c->file);
}

/* Waits for who is in it. */
static inline void commands_end(struct commands *c)
{
	debugfs_remove(c->file);
}

#endif /* COMMANDS_H */
