import type { Pod } from 'kubernetes-types/core/v1';
import type { PriorityClass } from 'kubernetes-types/scheduling/v1';
import type { ApiObject } from '../../api/index.ts';
import type { AdmissionPlugin } from './admission.ts';
import { isMain, refuse } from './refusals.ts';

/** Puts the number of its priority class on a pod; without a class that of the default one, or 0. */
export function priority(listClasses: () => Promise<readonly ApiObject[]>): AdmissionPlugin {
  return {
    name: 'Priority',
    mutate: async (request) => {
      const { spec } = (request.object ?? {}) as unknown as Pod;
      if (spec === undefined || !isMain(request, 'pods') || request.operation !== 'create') return;
      const classes = (await listClasses()) as unknown as readonly PriorityClass[];
      const wanted = spec.priorityClassName ?? '';
      const chosen =
        wanted === ''
          ? classes.find((each) => each.globalDefault === true)
          : classes.find((each) => each.metadata?.name === wanted);
      if (wanted !== '' && chosen === undefined)
        throw refuse(request, `no PriorityClass with name ${wanted} was found`);
      const value = chosen?.value ?? 0;
      if (spec.priority !== undefined && spec.priority !== value) {
        throw refuse(
          request,
          `the integer value of priority (${spec.priority}) must not be provided in pod spec; priority admission controller computed ${value} from the given PriorityClass name`,
        );
      }
      spec.priority = value;
      spec.preemptionPolicy ??= chosen?.preemptionPolicy ?? 'PreemptLowerPriority';
      if (chosen?.metadata?.name !== undefined) spec.priorityClassName = chosen.metadata.name;
    },
  };
}
