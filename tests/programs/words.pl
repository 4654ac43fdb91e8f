#!/usr/bin/env perl
# SPDX-License-Identifier: MIT
#
# words.pl [TURNS]: hashes of hashes, sorts, regular expressions and closures;
# prints counts and a sum that are the same in every run.
use strict;
use warnings;

my $turns = shift // 10;
my $state = 12345;

# As of the C standard's example: the same on all machines.
sub random_below {
	$state = ($state * 1103515245 + 12345) & 0x7fffffff;
	return ($state >> 8) % $_[0];
}

sub word {
	return join '', map { chr(97 + random_below(26)) } 1 .. 3 + random_below(12);
}

# A string as a number: of 32 bits, by a polynomial.
sub sum_of {
	my $sum = 0;
	$sum = ($sum * 31 + ord $_) & 0xffffffff for split //, $_[0];
	return $sum;
}

my (%tree, @texts, $n_matched);
for my $turn (1 .. $turns) {
	for (1 .. 2000) {
		my $word = word();
		push @{$tree{substr $word, 0, 1}{length $word}{list}}, $word;
		$tree{substr $word, 0, 1}{length $word}{seen}{$word}++;
	}
	for my $first (sort keys %tree) {
		for my $length (sort { $a <=> $b } keys %{$tree{$first}}) {
			my $leaf = $tree{$first}{$length};
			my @sorted = sort { reverse($a) cmp reverse($b) || $a cmp $b }
				@{$leaf->{list}};
			$leaf->{list} = \@sorted;
			delete $tree{$first}{$length} if random_below(8) == 0;
		}
	}
	my $text = join ' ', map { word() } 1 .. 1000;
	$n_matched++ while $text =~ /\b([a-m]+)([n-z]+)\b/g;
	(my $other = $text) =~ s/([aeiou])(\w*)/$2$1/g;
	push @texts, map { my $n = $_; sub { substr $other, $n, 64 } } 1 .. 100;
	splice @texts, 0, 50 if @texts > 400;
}
my $n_words = 0;
my $sum = 0;
for my $first (sort keys %tree) {
	for my $length (sort { $a <=> $b } keys %{$tree{$first}}) {
		my $list = $tree{$first}{$length}{list};
		$n_words += @$list;
		$sum = ($sum * 7 + sum_of(join ',', @$list[0 .. ($#$list > 9 ? 9 : $#$list)]))
			& 0xffffffff;
	}
}
$sum ^= sum_of($_->()) for @texts;
printf "%d words, %d matches, %d closures, sum %08x\n",
	$n_words, $n_matched, scalar @texts, $sum;
