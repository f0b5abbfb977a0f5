/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef GOALLOC_IOCTL_H
#define GOALLOC_IOCTL_H

struct file;

long goalloc_fops_ioctl(struct file *file, unsigned int cmd, unsigned long arg);

#endif /* GOALLOC_IOCTL_H */
