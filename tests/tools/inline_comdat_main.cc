/* SPDX-License-Identifier: MIT */
/* A unit of a program of two; the other is inline_comdat_other.cc. */
#include "inline_comdat.h"

#include <cstdio>

int
main()
{
	pool<double> numbers;

	if (!numbers.open("numbers"))
		return 1;
	/* The same template here and there, and in a function without name. */
	auto twice = [&numbers](double x) {
		return numbers.drop(numbers.make(x)) * 2;
	};
	double sum = turn(numbers, 1.0) + other_unit(numbers) + twice(0.5);
	if (sum != 2 * 499500.0 + 1 + 2 + 1) {
		std::printf("sum %f\n", sum);
		return 2;
	}
	return numbers.close() ? 0 : 3;
}
