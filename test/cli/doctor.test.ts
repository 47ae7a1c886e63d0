import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Finding } from '../../src/api/findings.ts';
import { COMMANDS } from '../../src/cli/commands.ts';
import { findPlace } from '../../src/cli/complete.ts';
import { findingsText } from '../../src/cli/doctor-text.ts';

const plain = (_colour: string, text: string) => text;
const CONTENT = '# why\n[Service]\nNoNewPrivileges=yes\n# by hand\n#User=shop-a\n';
const DROP_IN = { unit: 'a@1.service', path: '/etc/systemd/system/a@1.service.d/50-postern.conf', content: CONTENT };
const CAPABILITY: Finding = {
  ...{ id: 'h/shop/a/capability/a@1.service', kind: 'capability', severity: 'high', host: 'h' },
  ...{ workload: 'shop/a', unit: 'a@1.service', subjects: ['CAP_BPF'], more: 2 },
  processes: [1, 2, 3, 4].map((pid) => ({ pid, exe: pid === 2 ? '' : '/bin/a' })),
  ...{ what: 'holds CAP_BPF', means: 'it can', fix: { text: 'the drop-in', commands: ['x'], dropIn: DROP_IN } },
};
const FILE: Finding = {
  ...{ id: 'h/shop/a/writableExecutable', kind: 'writableExecutable', severity: 'medium', host: 'h' },
  ...{ workload: 'shop/a', subjects: ['/a'], processes: [{ pid: 9, exe: '/a' }], what: '/a is open', means: 'who' },
  fix: { text: 'close it', commands: ['chown root /a', 'chmod go-w /a'] },
};
const HOST: Finding = {
  ...{ id: 'h/noFrameGuard', kind: 'noFrameGuard', severity: 'medium', host: 'h', subjects: [], processes: [] },
  ...{ what: 'no guard', means: 'frames', fix: { text: 'a kernel' } },
};

test('each finding says who, what, where and what to do; the settings of a unit come once, without comments', () => {
  assert.is(
    findingsText([CAPABILITY, { ...CAPABILITY, severity: 'low', what: 'more' }, FILE, HOST], plain),
    `HIGH  shop/a  holds CAP_BPF
  it can
  where: a@1.service, /bin/a (pid 1), (pid 2), /bin/a (pid 3) and 3 more
  fix:   the drop-in

LOW  shop/a  more
  it can
  where: a@1.service, /bin/a (pid 1), (pid 2), /bin/a (pid 3) and 3 more
  fix:   the drop-in

MEDIUM  shop/a  /a is open
  who
  where: /a (pid 9)
  fix:   close it
         chown root /a
         chmod go-w /a

MEDIUM  h  no guard
  frames
  fix:   a kernel

/etc/systemd/system/a@1.service.d/50-postern.conf
    [Service]
    NoNewPrivileges=yes
    #User=shop-a
  to write it: mkdir -p /etc/systemd/system/a@1.service.d && postern doctor --drop-in a@1.service > /etc/systemd/system/a@1.service.d/50-postern.conf

1 high, 2 medium, 1 low`,
  );
});

test('completion knows the words of doctor', () => {
  const words = (...typed: string[]) => findPlace(COMMANDS, typed);
  assert.ok(words('doc').words.includes('doctor'));
  assert.equal(words('doctor', '--severity', '').words, ['high', 'medium', 'low']);
  assert.equal([words('doctor', '--host', '').source, words('doctor', '--workload', '').source], ['host', 'workload']);
  assert.ok(words('doctor', '--dr').words.includes('--drop-in'));
});

test.run();
