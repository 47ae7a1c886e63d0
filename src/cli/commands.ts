/** The table of all commands: parsing, help and completion read it. */

import { ADOPT } from './command/adopt.ts';
import { AGENT_COMMANDS, LOCAL_COMMANDS } from './command/agent.ts';
import { APPLY } from './command/apply.ts';
import { DELETE } from './command/delete.ts';
import { DISCOVER } from './command/discover.ts';
import { DOCTOR } from './command/doctor.ts';
import { GET } from './command/get.ts';
import { NOUN_COMMANDS } from './command/noun-commands.ts';
import { OBSERVE } from './command/observe.ts';
import { OTHER_COMMANDS } from './command/other.ts';
import { POLICY_CHECK } from './command/policy-check.ts';
import { POLICY_HISTORY } from './command/policy-history.ts';
import { POLICY_SIMULATE } from './command/policy-simulate.ts';
import { POLICY_TEST } from './command/policy-test.ts';
import { PREVIEW } from './command/preview.ts';
import { RUN } from './command/run.ts';
import { STATUS } from './command/status.ts';
import type { Command } from './command.ts';

export const COMMANDS: readonly Command[] = [
  STATUS,
  OBSERVE,
  DISCOVER,
  DOCTOR,
  GET,
  APPLY,
  DELETE,
  RUN,
  ...NOUN_COMMANDS,
  ADOPT,
  PREVIEW,
  POLICY_CHECK,
  POLICY_TEST,
  ...POLICY_HISTORY,
  ...POLICY_SIMULATE,
  { ...OBSERVE, path: ['flow', 'list'], summary: 'The same as postern observe', examples: [] },
  ...LOCAL_COMMANDS,
  ...AGENT_COMMANDS,
  ...OTHER_COMMANDS,
];
