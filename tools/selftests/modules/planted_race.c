// SPDX-License-Identifier: GPL-2.0-only
/*
 * A data race. Loading it takes @ms milliseconds, in which a thread writes what
 * another one on another CPU reads, without a lock or a mark: what looks for data
 * races has to find this one.
 */
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/sched.h>

static unsigned int ms = 3000;
module_param(ms, uint, 0444);
MODULE_PARM_DESC(ms, "How long it races");

static unsigned long planted;
static unsigned long seen;

static noinline void planted_write(unsigned long i)
{
	planted = i;
}

static noinline unsigned long planted_read(void)
{
	return planted;
}

static int writer(void *unused)
{
	unsigned long i;

	for (i = 0; !kthread_should_stop(); i++) {
		planted_write(i);
		cond_resched();
	}
	return 0;
}

static int reader(void *unused)
{
	while (!kthread_should_stop()) {
		seen += planted_read();
		cond_resched();
	}
	return 0;
}

static int __init planted_race_init(void)
{
	unsigned int cpu = cpumask_first(cpu_online_mask);
	struct task_struct *one, *other;

	one = kthread_create(writer, NULL, "planted_writer");
	if (IS_ERR(one))
		return PTR_ERR(one);
	other = kthread_create(reader, NULL, "planted_reader");
	if (IS_ERR(other)) {
		kthread_stop(one);
		return PTR_ERR(other);
	}
	kthread_bind(one, cpu);
	kthread_bind(other, cpumask_next(cpu, cpu_online_mask));
	wake_up_process(one);
	wake_up_process(other);
	msleep(ms);
	kthread_stop(one);
	kthread_stop(other);
	return 0;
}

static void __exit planted_race_exit(void)
{
}

module_init(planted_race_init);
module_exit(planted_race_exit);
MODULE_DESCRIPTION("A data race that is to be found");
MODULE_LICENSE("GPL");
