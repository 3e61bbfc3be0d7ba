// node-postgres through the gateway: what every driver's story tells, as one line of JSON. Settings come in PG* variables.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const { Client } = createRequire(`${process.env.STORY_CACHE}/node/`)('pg')
const ca = readFileSync(process.env.PGSSLROOTCERT, 'utf8')
const settings = { host: process.env.PGHOST, ssl: { ca }, options: '-c gatebook.hold=answer' }
const told = {}
const heard = []

async function fails(work) {
  try {
    await work
    return 'nothing'
  } catch (error) {
    return `${error.code} ${error.message}`
  }
}

const client = new Client(settings)
client.on('notification', (one) => heard.push(one.payload))
await client.connect()
const one = async (text, values) => Object.values((await client.query({ text, values, rowMode: 'array' })).rows[0])

told.encrypted = client.connection.stream.encrypted === true
told.parameters = await one('SELECT $1::int4 AS a, $2::text AS b', [7, 'naïve'])
told.masked = (await one('SELECT ssn FROM customers WHERE id = $1', [1]))[0]
told.prepared = []
for (const id of [1, 2, 3]) {
  const found = await client.query({ name: 'by-id', text: 'SELECT ssn FROM customers WHERE id = $1', values: [id] })
  told.prepared.push(found.rows[0].ssn)
}
told.refused = await fails(client.query('DELETE FROM customers'))
told.refused_prepared = await fails(client.query('DELETE FROM customers WHERE true OR id = $1', [1]))
told.after = (await one('SELECT 1'))[0]
told.failed = await fails(client.query('SELECT 1 / $1::int', [0]))
await client.query('BEGIN')
told.in_transaction = await fails(client.query('DELETE FROM customers'))
told.in_failed_transaction = await fails(client.query('SELECT 1'))
await client.query('ROLLBACK')
told.many = (await client.query('SELECT 1 AS n; SELECT 2 AS n; SELECT 3 AS n')).map((result) => result.rows[0].n)
await client.query('LISTEN driver_news')
await client.query("NOTIFY driver_news, 'charged 4242 4242 4242 4242'")
await client.query('SELECT 1')
told.heard = heard

const sleeping = fails(client.query('SELECT pg_sleep(30)'))
const running = client._getActiveQuery ? client._getActiveQuery() : client.activeQuery
const cancelling = setInterval(() => new Client({ ...settings, ssl: false }).cancel(client, running), 300)
told.cancelled = await sleeping
clearInterval(cancelling)
told.after_cancel = Number(await fails(client.query('SELECT 1')) === 'nothing')
await client.end()
console.log(JSON.stringify(told))
