// A Kinesis in memory on a free port of loopback, for `tests/support/kinesis_standin.py`.
// Takes the folder of its packages; prints its port, and ends with its standard input.
'use strict'

const path = require('path')
const kinesalite = require(path.join(process.argv[2], 'kinesalite'))

// Streams change at once, but not within the call that asks for it, as on AWS.
const changeMs = 20
const server = kinesalite({
  createStreamMs: changeMs,
  deleteStreamMs: changeMs,
  updateStreamMs: changeMs,
  shardLimit: 10000,
})
server.listen(0, '127.0.0.1', () => process.stdout.write(`${server.address().port}\n`))

process.stdin.on('end', () => process.exit(0))
process.stdin.resume()
