/** `deploy` on the control socket of a supervisor. */
import { RuntimeError } from '../errors.ts';
import { buildTopology, type BuiltTopology } from '../load.ts';
import type { ControlVerb } from '../supervisor/control.ts';
import type { Deployer, DeployResult } from './deploy.ts';

/** What `deploy` is asked with. */
export interface DeployArgs {
  /** Empty: all services whose code changed. */
  readonly services: readonly string[];
  readonly dryRun: boolean;
  readonly setAside: readonly string[];
  readonly noWayBack?: boolean;
  readonly probationMs?: number;
}

/** Compiles the supervisor's topology as it is now, and deploys it. */
export function deployVerb(deployer: Deployer, file: string): ControlVerb {
  return async ({ args, tell, signal }): Promise<DeployResult> => {
    const { services, dryRun, setAside, noWayBack, probationMs } = checked(args);
    const built: BuiltTopology = await buildTopology(file);
    return deployer.deploy(built, services, {
      dryRun,
      setAside,
      noWayBack: noWayBack === true,
      ...(probationMs === undefined ? {} : { probationMs }),
      onEvent: tell,
      signal,
    });
  };
}

function checked(args: unknown): DeployArgs {
  const { services, dryRun, setAside, noWayBack, probationMs } = (args ?? {}) as Partial<DeployArgs>;
  const isNames = (value: unknown): boolean => Array.isArray(value) && value.every(each => typeof each === 'string');
  if (!isNames(services) || !isNames(setAside) || typeof dryRun !== 'boolean')
    throw new RuntimeError('RUNTIME_CONTROL', 'deploy wants { services, dryRun, setAside }');
  if (probationMs !== undefined && !(Number.isInteger(probationMs) && probationMs >= 0 && probationMs <= 3_600_000))
    throw new RuntimeError('RUNTIME_CONTROL', `probationMs is ${probationMs}; want 0..3600000`);
  return { services: services!, dryRun, setAside: setAside!, noWayBack: noWayBack === true, probationMs };
}
