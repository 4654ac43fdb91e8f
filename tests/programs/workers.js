// SPDX-License-Identifier: MIT
//
// workers.js: JSON, buffers, sums and compression, in two threads and in their
// parent; prints what is the same in every run.
'use strict';
const crypto = require('crypto');
const zlib = require('zlib');
const {Worker, isMainThread, parentPort, workerData} = require('worker_threads');

function work(seed, turns) {
	const sum = crypto.createHash('sha256');
	let state = seed;
	const below = (limit) => {
		state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
		return (state >>> 8) % limit;
	};
	for (let turn = 0; turn < turns; turn++) {
		const made = {list: [], names: {}};
		for (let i = 0; i < 500; i++) {
			made.list.push({id: i, value: below(1000), text: 'x'.repeat(below(40))});
			made.names['name' + below(300)] = below(9);
		}
		const text = JSON.stringify(JSON.parse(JSON.stringify(made)));
		const packed = zlib.gzipSync(text);
		const buffer = Buffer.concat([Buffer.from(text), zlib.gunzipSync(packed)]);
		const pieces = [];
		for (let i = 0; i < 50; i++) {
			const piece = Buffer.alloc(1 + below(20000), i);
			pieces.push(piece.toString(i % 2 ? 'hex' : 'base64').length);
		}
		const cipher = crypto.createCipheriv('aes-128-cbc', Buffer.alloc(16, seed), Buffer.alloc(16));
		sum.update(cipher.update(buffer)).update(cipher.final());
		sum.update(crypto.createHash('md5').update(pieces.join()).digest());
	}
	return sum.digest('hex');
}

if (!isMainThread) {
	parentPort.postMessage(work(workerData.seed, workerData.turns));
} else {
	const turns = Number(process.argv[2] || 40);
	const all = [1, 2].map((seed) => new Promise((done, failed) => {
		const worker = new Worker(__filename, {workerData: {seed, turns}});
		worker.on('message', done);
		worker.on('error', failed);
	}));
	const own = work(3, turns);
	Promise.all(all).then((sums) => console.log([...sums, own].join('\n')));
}
