/** Configuration of the programs of fleet.test.ts: each connects to port 7000 of an address of its own, by which it is found. */
const JAVA_HOME = '/usr/lib/jvm/java-17-openjdk';
/** Of /usr/bin/java in the tree. */
export const java = (arch: string): string => `${JAVA_HOME}-${arch}/bin/java`;

/** Connects and stays. */
const DAEMON = `#!/bin/bash
exec 3<>/dev/tcp/$1/7000
read line <&3
exec sleep 1000
`;

/** A Tomcat that asks its directory (an LDAP server) as it starts. */
const tomcat = (port: number, directory: string) => `<Server port="-1"><Service name="Catalina">
<Connector port="${port}" address="127.0.0.1"/>
<Engine name="Catalina" defaultHost="localhost">
<Realm className="org.apache.catalina.realm.JNDIRealm" connectionURL="ldap://${directory}:7000" readTimeout="100"
 userPattern="uid={0}"/>
<Host name="localhost" appBase="webapps"/>
</Engine></Service></Server>
`;
const OPTIONS = '-Xmx64m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC';
const JMX = 'port=0 authenticate=false ssl=false host=127.0.0.1';
const jmx = JMX.split(' ').map((word) => `-Dcom.sun.management.jmxremote.${word}`);
export const tomcatEnv = (base: string, arch: string, options = ''): string[] => [
  ...[`CATALINA_BASE=${base}`, 'CATALINA_HOME=/usr/share/tomcat10', `JAVA_HOME=${JAVA_HOME}-${arch}`],
  `CATALINA_OPTS=${[OPTIONS, options].join(' ').trim()}`,
];
const tomcatUnit = (base: string, arch: string, options?: string) => `[Service]
User=tomcat
${tomcatEnv(base, arch, options)
  .map((one) => `Environment="${one}"`)
  .join('\n')}
ExecStart=/usr/share/tomcat10/bin/catalina.sh run
SuccessExitStatus=143
`;

const started = (address: string, name: string) =>
  `/bin/bash -c 'setsid /srv/daemon ${address} ${name} < /dev/null > /dev/null 2>&1 &'`;

/** Path, text; `arch` as Debian names it. */
export const files = (arch: string): readonly (readonly [path: string, text: string, mode?: string])[] => [
  ['/srv/daemon', DAEMON, '0755'],
  ...(
    [
      ['tc1', 7701, '127.1.1.1'],
      ['tc2', 7702, '127.1.2.1'],
      ['tc10', 7710, '127.1.10.1'],
    ] as const
  ).map(([name, port, directory]) => [`/srv/${name}/conf/server.xml`, tomcat(port, directory)] as const),
  ['/etc/systemd/system/tc1.service', tomcatUnit('/srv/tc1', arch)],
  ['/etc/systemd/system/tc2.service', tomcatUnit('/srv/tc2', arch)],
  ['/etc/systemd/system/fat.service', tomcatUnit('/srv/tc10', arch, jmx.join(' '))],
  ['/etc/apache2/ports.conf', 'Listen 127.0.0.1:7705\n'],
  [
    '/etc/apache2/sites-enabled/000-default.conf',
    '<VirtualHost 127.0.0.1:7705>\nProxyPass / http://127.5.1.1:7000/\n</VirtualHost>\n',
  ],
  [
    '/etc/haproxy/haproxy.cfg',
    `global
  user haproxy
  group haproxy
defaults
  timeout connect 5s
  timeout client 5s
  timeout server 5s
listen front
  bind 127.0.0.1:7706
  server back 127.6.1.1:7000
`,
  ],
  [
    '/etc/keepalived/keepalived.conf',
    `vrrp_instance one {
  state MASTER
  interface vr
  virtual_router_id 7
  priority 255
  advert_int 1
  virtual_ipaddress { 192.0.2.100/24 }
}
`,
  ],
  [
    '/etc/monit/monitrc',
    `set daemon 1
set logfile syslog
check process mta with matching "daemon 127.11.1.1"
  start program = "${started('127.11.1.1', '--mta')}"
check process other with matching "daemon 127.11.1.2"
  start program = "${started('127.11.1.2', '--other')}"
`,
    '0600',
  ],
  ['/etc/systemd/system/monit.service', '[Service]\nExecStart=/usr/bin/monit -I\n'],
  ['/etc/nfs.conf.d/pinned.conf', '[statd]\nport=32765\n'],
  [
    '/etc/ganesha/ganesha.conf',
    'NFS_CORE_PARAM { Protocols = 4; Enable_NLM = false; Enable_RQUOTA = false; Bind_addr = 127.0.0.1; }\n',
  ],
  [
    '/etc/vsftpd.conf',
    'listen=YES\nlisten_address=127.0.0.1\nanonymous_enable=YES\nanon_root=/srv\nport_promiscuous=YES\n',
  ],
  [
    '/etc/xinetd.d/hello',
    `service hello
{
  type = UNLISTED
  port = 7717
  bind = 127.0.0.1
  socket_type = stream
  protocol = tcp
  wait = no
  user = root
  server = /srv/daemon
  server_args = 127.17.1.1
}
`,
  ],
];

/** Asks for a list in active mode, to be sent to 127.16.1.1:7000. */
export const ACTIVE_FTP = `
import socket
f = socket.create_connection(('127.0.0.1', 21)).makefile('rw')
for command in ['USER anonymous', 'PASS x', 'PORT 127,16,1,1,27,88', 'NLST']:
  print(f.readline(), flush=True)
  f.write(command + '\\r\\n')
  f.flush()
print(f.readline())
`;
