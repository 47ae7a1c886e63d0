/** How objects are named on the command line, and the REST path of a name. */
import { POLICY_KINDS, type Policy } from '../api/policy.ts';
import { Failure } from './failure.ts';

/** `shop/frontend` → `shop/frontend`, encoded; Failure 2 when it has not `count` parts. */
export function refPath(ref: string, noun: string, count: number, form: string, example: string): string {
  const words = ref.split('/');
  if (words.length !== count || words.includes('')) {
    throw new Failure(2, `"${ref}" is not the name of one ${noun}: it is written ${form}, such as ${example}`);
  }
  return words.map(encodeURIComponent).join('/');
}

/** `cnp/shop/backend`, `ccnp/baseline` */
export function policyPath(ref: string): string {
  const [kind, ...rest] = ref.split('/');
  const isKnown = (POLICY_KINDS as readonly string[]).includes(kind!);
  const wanted = kind === 'ccnp' || kind === 'ccg' ? 1 : 2;
  if (!isKnown || rest.length !== wanted || rest.includes('')) {
    throw new Failure(
      2,
      `"${ref}" is not the name of one policy: it is written cnp/NAMESPACE/NAME, ccnp/NAME, netpol/NAMESPACE/NAME or ccg/NAME`,
    );
  }
  return [kind!, ...rest].map(encodeURIComponent).join('/');
}

export function policyRef(policy: Policy): string {
  return [policy.kind, policy.namespace, policy.name].filter((word) => word !== undefined).join('/');
}
