/** list, get, put, delete of every noun, made from the rows of noun.ts. */
import type { Call, Command } from '../command.ts';
import { NOUNS, type Noun } from '../noun.ts';
import { DELETE_FLAGS, deleteObjects, isSelectable } from './delete.ts';
import { getObject, LIST_FLAGS, listObjects } from './get.ts';
import { PUT_FLAGS, putObject } from './put.ts';
import { WORKLOAD_FLAGS } from './workload-flags.ts';

export const NOUN_COMMANDS: readonly Command[] = NOUNS.flatMap((noun) =>
  noun.verbs.map((verb) => toCommand(noun, verb)),
);

function toCommand(noun: Noun, verb: Noun['verbs'][number]): Command {
  if (verb === 'list') return listCommand(noun);
  if (verb === 'get') return getCommand(noun);
  if (verb === 'delete') return deleteCommand(noun);
  return putCommand(noun);
}

function listCommand(noun: Noun): Command {
  return {
    path: [noun.word, 'list'],
    summary: `List ${noun.plural}`,
    args: [],
    flags: LIST_FLAGS[noun.word],
    examples: [
      [`postern ${noun.word} list`, 'one line each'],
      [`postern ${noun.word} list -o json | jq '.items[]'`, 'everything that the server knows of them'],
    ],
    run: (call) => listObjects(noun, call),
  };
}

function getCommand(noun: Noun): Command {
  return {
    path: [noun.word, 'get'],
    summary: `Show one ${noun.word}`,
    args: [{ name: noun.ref, complete: noun.word }],
    flags: [],
    examples: [
      [`postern ${noun.word} get ${noun.example}`, 'as a card'],
      [`postern ${noun.word} get ${noun.example} -o yaml`, 'as YAML'],
    ],
    run: (call) => getObject(noun, call.args[0]!, call),
  };
}

function deleteCommand(noun: Noun): Command {
  const byLabel = isSelectable(noun);
  return {
    path: [noun.word, 'delete'],
    summary: `Delete ${noun.plural} by name${byLabel ? ' or by label' : ''}`,
    args: [{ name: noun.ref, many: true, optional: true, complete: noun.word }],
    flags: byLabel ? DELETE_FLAGS : DELETE_FLAGS.filter(({ name }) => name === 'dry-run' || name === 'if-match'),
    examples: [
      [`postern ${noun.word} delete ${noun.example}`, 'one, without a question'],
      ...(byLabel
        ? [[`postern ${noun.word} delete --selector 'app in (a,b)' --yes`, 'all that have such a label'] as const]
        : []),
    ],
    run: (call) => deleteObjects(noun, call),
  };
}

function putCommand(noun: Noun): Command {
  const shared = { path: [noun.word, 'put'], run: (call: Call) => putObject(noun, call) };
  if (noun.word === 'workload') {
    return {
      ...shared,
      summary: 'Register a workload, or replace its registration',
      args: [{ name: noun.ref, complete: 'workload' }],
      flags: [...WORKLOAD_FLAGS, ...PUT_FLAGS],
      help: [
        'The flags describe the whole registration: what was there before is replaced. All of --systemd-unit, --cgroup,',
        '--exe, --user, --arg and --listen together make one clause, and all of it must hold; --match adds further clauses,',
        'any of which may hold. Globs: * without /, ** with, ?, [a-z]. --arg equals one whole argument, or ends in * = prefix.',
      ].join('\n'),
      examples: [
        ['postern workload put shop/frontend --label app=frontend --systemd-unit nginx.service', 'a systemd unit'],
        [
          'postern workload put shop/backend -l app=backend --exe /usr/bin/redis-server --user redis',
          'a program of a user',
        ],
        [
          "postern workload put erp/tc1 -l app=tc1 --exe '/usr/lib/jvm/*/bin/java' --user tomcat --arg=-Dcatalina.base=/opt/tc1",
          'one of several with the same program',
        ],
        [
          "postern workload put shop/db -l app=db --listen 5432/tcp --match '{systemdUnit: postgresql@*.service}'",
          'either clause',
        ],
        ['postern workload put shop/frontend -f frontend.yaml --dry-run', 'from a file; changes nothing'],
      ],
    };
  }
  if (noun.word === 'policy') {
    return {
      ...shared,
      summary: 'Put one policy document, as it is in a cluster',
      args: [{ name: noun.ref, optional: true, complete: 'policy' }],
      flags: PUT_FLAGS,
      help: 'The name may be left out: it is read from the document. Several documents at once: postern apply -f.',
      examples: [
        ['postern policy put -f backend.yaml', 'create or replace'],
        ['postern policy put cnp/shop/backend -f - --dry-run < backend.yaml', 'only say what it would do'],
      ],
    };
  }
  return {
    ...shared,
    summary: "Replace a namespace's labels",
    args: [{ name: noun.ref, complete: 'namespace' }],
    flags: [{ name: 'label', short: 'l', value: 'KEY=VALUE', many: true, summary: 'a label' }, ...PUT_FLAGS],
    examples: [['postern namespace put shop --label team=checkout', 'selectors may then ask for the label']],
  };
}
