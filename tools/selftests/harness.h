/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel's harness, with more patience: it ends a test by the clock, and the machine
 * that a guest runs on may be slow, or have other things to do. The seconds that stand
 * beside a test are those in which it ends with ease on a machine that is ours alone.
 */
#ifndef HARNESS_H
#define HARNESS_H

#include <kselftest_harness.h>

#define HARNESS_PATIENCE	4

#undef TEST_F
#define TEST_F(fixture_name, test_name) \
	__TEST_F_IMPL(fixture_name, test_name, -1, HARNESS_PATIENCE * TEST_TIMEOUT_DEFAULT)

#undef TEST_F_TIMEOUT
#define TEST_F_TIMEOUT(fixture_name, test_name, timeout) \
	__TEST_F_IMPL(fixture_name, test_name, -1, HARNESS_PATIENCE * (timeout))

#endif /* HARNESS_H */
