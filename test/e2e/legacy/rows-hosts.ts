/** Rows 13 to 25: what the host itself does, people, containers, what comes from outside. */
import type { Row } from './row.ts';

const APP = 60003;
const KAFKA = 60004;
const JAVA = '/usr/lib/jvm/java-17/bin/java';

const unit = (name: string) => ({ systemdUnit: name });

export const HOSTS: readonly Row[] = [
  {
    number: 13,
    title: 'NFS, CIFS, iSCSI clients stay the host: what a kernel thread opens has nobody',
    workloads: {},
    processes: [],
    also: ['test/e2e/kernel-sockets.test.ts'],
  },
  {
    number: 14,
    title: 'a port names a daemon that anybody may have started',
    workloads: { nfs: { listen: ['{port}/tcp'] } },
    processes: [
      {
        what: 'mountd, on its pinned port',
        exe: '/usr/sbin/rpc.mountd',
        cgroup: 'plain',
        does: 'listen',
        listens: 'nfs',
      },
    ],
    also: ['test/systemd/fleet.test.ts', 'test/e2e/identity.test.ts'],
  },
  {
    number: 15,
    title: 'people are workloads, sshd is only its listener',
    workloads: { ssh: unit('ssh.service'), alice: { cgroup: '{cgroup}/user.slice/user-1015.slice' } },
    processes: [
      {
        what: 'what alice runs over ssh',
        exe: '/usr/bin/psql',
        cgroup: 'user.slice/user-1015.slice/session-11.scope',
        does: 'connect',
        connects: 'alice',
      },
      {
        what: 'the listener',
        exe: '/opt/ssh/sshd',
        cgroup: 'system.slice/ssh.service',
        does: 'listen',
        listens: 'ssh',
      },
    ],
    also: ['test/systemd/facts.test.ts', 'test/e2e/ssh.test.ts'],
  },
  {
    number: 16,
    title: 'FTP: control, passive ports and active connections are one unit',
    workloads: { ftp: unit('vsftpd.service') },
    processes: [
      {
        what: 'active: it connects to the client',
        exe: '/usr/sbin/vsftpd',
        cgroup: 'system.slice/vsftpd.service',
        does: `listen fork user:${APP} connect`,
        connects: 'ftp',
        listens: 'ftp',
      },
    ],
    also: ['test/systemd/fleet.test.ts'],
  },
  {
    number: 17,
    title: 'inetd by systemd: the socket unit has the listener',
    workloads: { inetd: unit('per@*.service') },
    processes: [
      {
        what: 'the listener of PID 1',
        exe: '/opt/init',
        cgroup: 'system.slice/per.socket',
        does: 'listen',
        listens: 'inetd',
      },
      {
        what: 'the service of one connection',
        exe: '/usr/bin/cat',
        cgroup: 'system.slice/system-per.slice/per@0-127.0.0.1:7002-127.0.0.1:4242.service',
        does: 'connect',
        connects: 'inetd',
      },
    ],
    also: ['test/systemd/fleet.test.ts', 'test/systemd/facts.test.ts'],
  },
  {
    number: 18,
    title: 'Kafka and ZooKeeper: the class is a whole argument, never a part of the class path',
    workloads: Object.fromEntries(
      [
        ['kafka', 'kafka.Kafka'],
        ['zk', 'org.apache.zookeeper.server.quorum.QuorumPeerMain'],
      ].map(([name, main]) => [name, { process: { exe: JAVA, user: String(KAFKA), args: [main] } }]),
    ),
    processes: (
      [
        ['kafka', 'kafka.Kafka'],
        ['zk', 'org.apache.zookeeper.server.quorum.QuorumPeerMain'],
      ] as const
    ).map(([name, main]) => ({
      what: name,
      exe: JAVA,
      args: ['-cp', '/opt/kafka.Kafka/libs/kafka.Kafka.jar', main, 'server.properties'],
      uid: KAFKA,
      cgroup: 'system.slice/kafka.service',
      does: 'listen connect',
      connects: name,
      listens: name,
    })),
  },
  {
    number: 19,
    title: 'Docker: a container by its cgroup',
    workloads: { docker: { cgroup: '{cgroup}/system.slice/docker-*.scope' } },
    processes: [
      {
        what: 'in the container',
        exe: '/opt/container/app',
        cgroup: 'system.slice/docker-4f5a.scope/init',
        does: 'listen connect',
        connects: 'docker',
        listens: 'docker',
      },
    ],
    also: ['test/systemd/containers.test.ts', 'test/e2e/container.test.ts'],
  },
  {
    number: 20,
    title: 'rootless Podman: a container by its cgroup, however deep',
    workloads: { podman: { cgroup: '{cgroup}/user.slice/**/libpod-*.scope' } },
    processes: [
      {
        what: 'in the container',
        exe: '/opt/container/app',
        cgroup: 'user.slice/user-1020.slice/user@1020.service/user.slice/libpod-77.scope/container',
        does: 'listen',
        listens: 'podman',
        isLate: true,
      },
    ],
    also: ['test/systemd/containers.test.ts', 'test/e2e/container.test.ts'],
  },
  {
    number: 21,
    title: 'SAP: any executable of a folder, also one that is copied there at the start',
    workloads: { 'sap-d00': { process: { exe: '/usr/sap/PRD/D00/exe/*', user: String(APP) } } },
    processes: [
      {
        what: 'there before',
        exe: '/usr/sap/PRD/D00/exe/disp+work',
        uid: APP,
        cgroup: 'user.slice/user-0.slice/session-c2.scope',
        does: 'listen fork connect',
        connects: 'sap-d00',
        listens: 'sap-d00',
      },
      {
        what: 'of another instance',
        exe: '/usr/sap/PRD/D01/exe/disp+work',
        uid: APP,
        cgroup: 'user.slice/user-0.slice/session-c2.scope',
        does: 'connect',
        connects: null,
      },
    ],
    also: ['test/kernel/path-hash.test.ts'],
  },
  {
    number: 22,
    title: 'RMI and JMX: a random port is the unit, too',
    workloads: { fat: unit('fat.service') },
    processes: [
      {
        what: 'java',
        exe: JAVA,
        cgroup: 'system.slice/fat.service',
        does: 'listen connect',
        connects: 'fat',
        listens: 'fat',
      },
    ],
    also: ['test/systemd/fleet.test.ts', 'test/e2e/listening-port.test.ts'],
  },
  {
    number: 23,
    title: 'agents of monitoring and backup: units by a glob',
    workloads: { dd: unit('datadog-agent*.service') },
    processes: ['datadog-agent.service', 'datadog-agent-trace.service', 'datadog.service'].map((name) => ({
      what: name,
      exe: '/opt/datadog-agent/bin/agent',
      cgroup: `system.slice/${name}`,
      does: 'listen connect',
      ...(name === 'datadog.service' ? { connects: null, listens: null } : { connects: 'dd', listens: 'dd' }),
    })),
  },
  {
    number: 24,
    title: 'a resolver asks for others: upstream it is itself, and who asked it is not seen there',
    workloads: { resolved: unit('systemd-resolved.service'), asker: unit('asker.service') },
    processes: [
      {
        what: 'the resolver',
        exe: '/usr/lib/systemd/systemd-resolved',
        cgroup: 'system.slice/systemd-resolved.service',
        does: 'listen connect',
        connects: 'resolved',
        listens: 'resolved',
      },
      {
        what: 'the asker',
        exe: '/usr/bin/psql',
        cgroup: 'system.slice/asker.service',
        does: 'connect',
        connects: 'asker',
      },
    ],
  },
  {
    number: 25,
    title: 'Windows, AIX, an appliance: a peer by its addresses',
    workloads: { buyer: { process: { exe: '/opt/buyer/bin/buyer', user: String(APP) } } },
    peers: { 'erp-win': ['192.0.2.25', '192.0.2.32/28'] },
    processes: (
      [
        ['192.0.2.25', 'erp-win'],
        ['192.0.2.33', 'erp-win'],
        ['192.0.2.26', null],
      ] as const
    ).map(([address, peer]) => ({
      what: `${address} is ${peer ?? 'nobody'}`,
      exe: '/opt/buyer/bin/buyer',
      uid: APP,
      cgroup: 'system.slice/buyer.service',
      does: 'connect',
      reaches: [address, peer],
      connects: 'buyer',
    })),
    also: ['test/e2e/addresses.test.ts'],
  },
];
