/* SPDX-License-Identifier: MIT */
#include "inline_comdat.h"

double
other_unit(pool<double> &from)
{
	return turn(from, 2.0);
}
