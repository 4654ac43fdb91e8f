/* SPDX-License-Identifier: MIT */
/*
 * templates.cc - what keeps a C++ compiler busy: containers, variants, and
 * classes that are computed at compile time.
 */
#include <algorithm>
#include <array>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <numeric>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

template <int N> struct fibonacci {
	static constexpr unsigned long value = fibonacci<N - 1>::value +
					       fibonacci<N - 2>::value;
};
template <> struct fibonacci<1> {
	static constexpr unsigned long value = 1;
};
template <> struct fibonacci<0> {
	static constexpr unsigned long value = 0;
};

template <int N> struct numbered {
	std::array<int, N % 17 + 1> data;
	std::map<int, std::string> names;

	int total() const
	{
		int sum = std::accumulate(data.begin(), data.end(), N);

		for (const auto &pair : names)
			sum += pair.first + (int)pair.second.size();
		return sum;
	}
};

template <int N>
int
visit_one(const std::variant<int, std::string, numbered<N>> &v)
{
	return std::visit(
		[](const auto &held) -> int {
			using held_type = std::decay_t<decltype(held)>;
			if constexpr (std::is_same_v<held_type, int>)
				return held;
			else if constexpr (std::is_same_v<held_type,
							  std::string>)
				return (int)held.size();
			else
				return held.total();
		},
		v);
}

template <int... N>
int
visit_all(std::integer_sequence<int, N...>)
{
	return (visit_one<N>(numbered<N>{}) + ... + 0);
}

template <int... N>
auto
tuple_of(std::integer_sequence<int, N...>)
{
	return std::make_tuple(numbered<N>{}...);
}

int
main()
{
	std::unordered_map<std::string, std::vector<std::function<int()>>>
		calls;
	auto all = tuple_of(std::make_integer_sequence<int, 12>{});
	std::set<std::pair<int, std::string>> sorted;
	std::deque<std::unique_ptr<std::string>> texts;

	for (int i = 0; i < 100; i++) {
		texts.push_back(std::make_unique<std::string>(
			"text_" + std::to_string(i)));
		calls[*texts.back()].push_back(
			[i] { return i * (int)fibonacci<20>::value; });
		sorted.emplace(i * 7919 % 101, *texts.back());
	}
	int sum = visit_all(std::make_integer_sequence<int, 24>{});
	for (const auto &named : calls)
		for (const auto &call : named.second)
			sum += call() + (int)named.first.size();
	for (const auto &pair : sorted)
		sum ^= pair.first;
	return (sum + std::get<11>(all).total() + (int)fibonacci<200>::value) &
	       0;
}
