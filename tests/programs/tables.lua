#!/usr/bin/env lua
-- SPDX-License-Identifier: MIT
--
-- tables.lua [TURNS]: tables, strings, closures and coroutines; prints counts
-- and a sum that are the same in every run.

local turns = tonumber(arg and arg[1]) or 10
local state = 12345

local function random_below(limit)
	state = (state * 1103515245 + 12345) & 0x7fffffff
	return (state >> 8) % limit
end

local function word()
	local letters = {}
	for i = 1, 3 + random_below(12) do
		letters[i] = string.char(97 + random_below(26))
	end
	return table.concat(letters)
end

-- A binary tree of so many levels, and how many nodes it has.
local function tree(levels)
	if levels == 0 then
		return {value = random_below(1000)}
	end
	return {left = tree(levels - 1), right = tree(levels - 1)}
end

local function count(node)
	if node.value then
		return 1, node.value
	end
	local n, sum = count(node.left)
	local m, other = count(node.right)
	return n + m + 1, sum + other
end

local function words_of(text)
	return coroutine.wrap(function()
		for found in text:gmatch("%a+") do
			coroutine.yield(found)
		end
	end)
end

local n_nodes, n_words, sum = 0, 0, 0
local seen, held = {}, {}
for turn = 1, turns do
	local n, values = count(tree(12))
	n_nodes = n_nodes + n
	sum = (sum * 31 + values) & 0xffffffff
	local list = {}
	for i = 1, 2000 do
		list[i] = word()
	end
	table.sort(list)
	local text = table.concat(list, " ")
	for found in words_of(text) do
		seen[found] = (seen[found] or 0) + 1
		n_words = n_words + 1
	end
	local upper = text:gsub("[aeiou]", string.upper)
	for i = 1, 500 do
		local at = random_below(#upper - 20) + 1
		held[#held + 1] = function() return upper:sub(at, at + 15) end
	end
	if turn % 4 == 0 then
		for i = 1, #held do
			local piece = held[i]()
			for j = 1, #piece do
				sum = (sum * 31 + piece:byte(j)) & 0xffffffff
			end
		end
		seen, held = {}, {}
	end
end
print(string.format("%d nodes, %d words, sum %08x", n_nodes, n_words, sum))
