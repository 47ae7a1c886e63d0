// @timeout 300
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Flow } from '../../src/api/flow.ts';
import { sql } from '../../src/server/database.ts';
import { parseFlowFilter } from '../../src/server/flow-filter.ts';
import { FlowPartitions } from '../../src/server/flow-partition.ts';
import { call, eventually, openLines, startTestServer, type TestServer } from './harness.ts';

const test = suite('flows');
let server: TestServer;

test.before(async () => {
  server = await startTestServer();
});
test.before.each(async () => {
  await server.context.flows.flush();
  await server.context.store.db.query(sql`truncate flows`);
});
test.after(() => server?.close());

const NOW = Date.now();
const at = (ms: number) => new Date(NOW - 60_000 + ms).toISOString().replace('Z', '456Z');

function flow(i: number, more: Partial<Flow> = {}): Flow {
  return {
    time: at(i),
    event: 'connect',
    verdict: 'FORWARDED',
    direction: 'EGRESS',
    protocol: 'TCP',
    rule: 'cnp/shop/backend ingress[0]',
    revision: 1,
    source: {
      workload: 'shop/frontend',
      identity: 65792,
      labels: ['user:app=frontend', 'k8s:io.kubernetes.pod.namespace=shop'],
      ip: '10.0.0.5',
      port: 40000 + i,
      process: { pid: 100 + i, exe: '/usr/bin/curl', user: 'www-data' },
    },
    destination: {
      workload: 'shop/backend',
      identity: 65793,
      labels: ['user:app=backend'],
      ip: '10.0.0.9',
      port: 6379,
    },
    ...more,
  };
}

const DENY: Partial<Flow> = {
  event: 'deny',
  verdict: 'DROPPED',
  direction: 'INGRESS',
  dropReason: 'POLICY_DENIED',
  rule: 'default deny of cnp/shop/backend',
};

async function send(flows: readonly Flow[], header: object = { host: 'web-1' }): Promise<void> {
  const body = [header, ...flows].map((line) => `${JSON.stringify(line)}\n`).join('');
  const { status, text } = await call(server, 'POST', '/v1/agent/flows', {
    headers: { 'content-type': 'application/x-ndjson' },
    body,
  });
  assert.is(status, 202, text);
}

async function read(query = ''): Promise<Flow[]> {
  const { status, body, text } = await call(server, 'GET', `/v1/flows?${query}`);
  assert.is(status, 200, text);
  return body.items;
}

test('what an agent sends is what a reader gets, with the host, oldest first', async () => {
  await send([flow(0), flow(1, DENY), flow(2)]);
  assert.equal(await read(), [
    { ...flow(0), host: 'web-1' },
    { ...flow(1, DENY), host: 'web-1' },
    { ...flow(2), host: 'web-1' },
  ]);
});

test('pages go back in time, each flow once, also when all have the same time', async () => {
  await send(Array.from({ length: 25 }, (_, i) => flow(0, { revision: i })));
  const seen: number[] = [];
  let cursor = '';
  do {
    const { body } = await call(server, 'GET', `/v1/flows?limit=10${cursor}`);
    seen.unshift(...body.items.map((item: Flow) => item.revision));
    cursor = body.next === undefined ? '' : `&cursor=${body.next}`;
  } while (cursor !== '');
  assert.equal(
    seen,
    Array.from({ length: 25 }, (_, i) => i),
  );
  assert.equal(
    (await read('last=3')).map(({ revision }) => revision),
    [22, 23, 24],
  );
});

test('a protocol is taken by name in any case and by number; one that does not exist is refused', () => {
  const matching = (protocol: string) => {
    const { matches } = parseFlowFilter({ protocol }, new Date());
    return ['TCP', 'UDP', 'ICMPv4', 'ICMPv6', '47'].filter((name) => matches(flow(0, { protocol: name }))).join(' ');
  };
  for (const [asked, found] of [
    ['tcp', 'TCP'],
    ['icmp', 'ICMPv4 ICMPv6'],
    ['ICMPv6', 'ICMPv6'],
    ['icmpv4', 'ICMPv4'],
    ['17,icmp', 'UDP ICMPv4 ICMPv6'],
    ['47', '47'],
  ] as const)
    assert.is(matching(asked), found, asked);
  for (const bad of ['tpc', '256', '-1'])
    assert.throws(() => matching(bad), /must be a number or one of ICMP, ICMPv4, IGMP, TCP/);
});

test('each filter says the same of what is stored and of what comes', async () => {
  const outside: Partial<Flow> = {
    protocol: 'UDP',
    event: 'exchange',
    source: { identity: 9, ip: '2001:db8::5', labels: ['cidr:2001:db8::/32', 'reserved:world-ipv6'] },
    destination: {
      workload: 'other/dns',
      identity: 65800,
      ip: '::1',
      port: 53,
      process: { pid: 7, exe: '/usr/sbin/named' },
    },
  };
  const flows = [
    flow(0),
    flow(1, DENY),
    flow(2, outside),
    flow(3, { rules: ['cnp/shop/a ingress[0]', 'cnp/shop/b ingress[1]'], rule: 'cnp/shop/a ingress[0]' }),
    flow(4, { event: 'lost', count: 3, where: 'ring', verdict: undefined, source: undefined, destination: undefined }),
    flow(5, { host: 'db-1', source: { ip: '127.0.0.1', identity: 1, labels: ['reserved:host'] } }),
    flow(6, { protocol: 'ICMPv4' }),
    flow(7, { protocol: 'ICMPv6' }),
    flow(8, { protocol: '47' }),
  ];
  await send(flows);
  const queries = [
    'workload=shop/backend',
    'workload=shop/*',
    'workload=*/dns,shop/frontend',
    'from=shop/frontend',
    'from=10.0.0.0/8',
    'from=10.0.0.5',
    'from=2001:db8::/32',
    'from=host',
    'from=world',
    'from=app=frontend',
    'to=65793',
    'to=other/',
    'identity=65792,9',
    'label=app=backend',
    'label=user:app=frontend',
    'label=app',
    'label=reserved:host',
    'verdict=DROPPED',
    'verdict=dropped,AUDIT',
    'port=6379',
    'port=53,80',
    'protocol=udp',
    'protocol=icmp',
    'protocol=ICMPv6',
    'protocol=47',
    'direction=ingress',
    'host=db-1',
    'process=curl',
    'process=/usr/*/named',
    'process=102',
    'dropReason=policy_denied',
    'rule=cnp/shop/backend',
    'rule=cnp/shop/b',
    'rule=cnp/shop/back',
    'event=deny,lost',
    `since=${at(2).replace('456Z', 'Z')}`,
    `until=${at(2).replace('456Z', 'Z')}`,
    'since=1h&verdict=FORWARDED&to=shop/backend',
  ];
  for (const query of queries) {
    const filter = parseFlowFilter(Object.fromEntries(new URLSearchParams(query)), new Date());
    const wanted = flows
      .filter((item) => filter.matches({ ...item, host: item.host ?? 'web-1' }))
      .map(({ time }) => time);
    assert.equal(
      (await read(query)).map(({ time }) => time),
      wanted,
      query,
    );
    assert.ok(wanted.length < flows.length || query.startsWith('since=1h'), `${query} filters nothing`);
  }
});

test('a filter that means nothing is refused by name', async () => {
  for (const query of [
    'verdict=DENIED',
    'port=http',
    'workload=frontend',
    'identity=x',
    'direction=up',
    'event=open',
    'since=yesterday',
    'verdicts=DROPPED',
    'cursor=abc',
    'last=0',
  ]) {
    const { status, body } = await call(server, 'GET', `/v1/flows?${query}`);
    assert.is(status, 400, query);
    assert.is(body.errors[0].path, `?${query.split('=')[0]}`);
  }
});

test('who follows gets what is stored and then what comes, nothing twice, nothing left out', async () => {
  await send(Array.from({ length: 50 }, (_, i) => flow(i, { revision: i })));
  let stop = false;
  let sent = 50;
  const sending = (async () => {
    while (!stop) {
      await send([flow(sent, { revision: sent })]);
      sent++;
    }
  })();
  const streams = await Promise.all([0, 1, 2].map(() => openLines(server, '/v1/flows?follow=true&since=1h')));
  await eventually(() => sent > 100, 'flows');
  stop = true;
  await sending;
  for (const stream of streams) {
    await stream.until((line) => line.revision === sent - 1);
    const seen = stream.lines.map((line) => line.revision);
    assert.equal(
      seen,
      Array.from({ length: sent }, (_, i) => i),
    );
    stream.close();
  }
});

test('who follows with a filter sees only that', async () => {
  const stream = await openLines(server, '/v1/flows?follow=true&verdict=DROPPED');
  await send([flow(0), flow(1, DENY), flow(2)]);
  await stream.until((line) => line.verdict === 'DROPPED');
  await send([flow(3, DENY)], { host: 'web-1', lost: 7 });
  await stream.until((line) => line.time === at(3));
  assert.equal(
    stream.lines.map((line) => line.event),
    ['deny', 'lost', 'deny'],
  );
  assert.is(stream.lines[1].count, 7);
  stream.close();
});

test('a flow from a clock that is days off is kept', async () => {
  const odd = flow(0, { time: '2020-01-01T00:00:00Z' });
  await send([odd, flow(1, { time: '2099-01-01T00:00:00Z' })]);
  assert.equal(
    (await read()).map(({ time }) => time),
    ['2020-01-01T00:00:00Z', '2099-01-01T00:00:00Z'],
  );
});

test('a batch that is none is refused by line and field', async () => {
  const post = (body: string) =>
    call(server, 'POST', '/v1/agent/flows', { headers: { 'content-type': 'application/x-ndjson' }, body });
  assert.is((await post('{"lost":1}\n')).status, 400);
  assert.match((await post('{"host":"a"}\n{"time"\n')).body.detail, /Line 2/);
  const { body } = await post(`{"host":"a"}\n${JSON.stringify({ ...flow(0), verdict: 'DENIED' })}\n`);
  assert.is(body.errors[0].path, '/0/verdict');
});

test('while the database is away flows wait, then are stored; policy is not held up by them', async () => {
  const pid = server.databasePid!;
  await send([flow(0)]);
  assert.is((await read()).length, 1);
  process.kill(pid, 'SIGKILL');
  await send([flow(1), flow(2)]);
  await eventually(() => server.databasePid !== pid, 'a new postmaster');
  await eventually(async () => (await call(server, 'GET', '/v1/flows')).body?.items?.length === 3, 'all flows');
});

test('partitions are made for today and tomorrow and dropped by age, and what they held is counted', async () => {
  await send([flow(0), flow(1)]);
  await read();
  const { db } = server.context.store;
  const names = async () =>
    (
      await db.query<{ name: string }>(
        sql`select inhrelid::regclass::text as name from pg_inherits where inhparent = 'flows'::regclass order by 1`,
      )
    ).map(({ name }) => name);
  const day = (ms: number) => `flows_${new Date(ms).toISOString().slice(0, 10).replaceAll('-', '')}`;
  assert.equal(await names(), [day(NOW), day(NOW + 86_400_000)]);
  const partitions = new FlowPartitions(db, { maxAgeMs: 86_400_000, maxBytes: 1024 ** 3 });
  await partitions.maintain(new Date(NOW + 3 * 86_400_000));
  assert.not((await names()).includes(day(NOW)));
  assert.is(partitions.dropped, 2);
  await server.context.flows.partitions.maintain(new Date(NOW));
  assert.equal(await read(), []);
});

test('partitions are dropped by size, oldest first, and never all of them', async () => {
  const limit = 2 * 1024 * 1024;
  const { db } = server.context.store;
  const partitions = new FlowPartitions(db, { maxAgeMs: 7 * 86_400_000, maxBytes: limit });
  const droppedBefore = server.context.flows.partitions.dropped;
  let count = 0;
  for (let round = 0; round < 12; round++) {
    await send(Array.from({ length: 800 }, () => flow(0, { time: new Date().toISOString(), revision: count++ })));
    await read('last=1');
    await partitions.maintain(new Date());
  }
  const dropped = partitions.dropped - droppedBefore;
  assert.ok(dropped > 0, 'some were dropped');
  const [{ bytes, kept } = { bytes: 0, kept: 0 }] = await db.query<{ bytes: number; kept: number }>(
    sql`select sum(pg_total_relation_size(inhrelid)) as bytes, (select count(*) from flows) as kept
        from pg_inherits where inhparent = 'flows'::regclass`,
  );
  assert.ok(Number(bytes) <= limit * 1.5, `${bytes} bytes`);
  assert.is(dropped + kept, count);
  assert.is((await read('last=1'))[0]?.revision, count - 1, 'the newest is there');
});

test.run();
