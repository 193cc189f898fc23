import type { ApiObject, FieldError } from '../../api/index.ts';
import type { UserInfo } from '../authentication/user.ts';

/** What a strategy may look at: never the request, so that it works the same for every way in. */
export interface StrategyEnvironment {
  readonly user: UserInfo;
  /** RFC 3339, seconds. */
  readonly now: string;
}

type Awaitable<T> = T | Promise<T>;

/** What is particular to a kind. A kind without one follows the conventions alone (api-conventions.md, "Metadata", "Spec and Status"). */
export interface Strategy {
  /** Fills in what the server decides: allocated addresses, first status. */
  prepareForCreate?(object: ApiObject, environment: StrategyEnvironment): Awaitable<void>;
  /** Keeps what a user may not change through the main resource; spec and metadata are the user's by now, status the old one. */
  prepareForUpdate?(object: ApiObject, old: ApiObject, environment: StrategyEnvironment): Awaitable<void>;
  /** Checks beyond those of the api package. */
  validate?(object: ApiObject, old: ApiObject | undefined): Awaitable<readonly FieldError[]>;
  /** Seconds between the request to delete and the removal; undefined: removed at once. */
  gracePeriodSeconds?(object: ApiObject, requested: number | undefined): number | undefined;
  /** Changes the object when its deletion begins. */
  beginDeletion?(object: ApiObject): void;
  /** True while something besides metadata.finalizers holds the removal back. */
  holdsBack?(object: ApiObject): boolean;
  /** The status of new objects is kept (Node) instead of dropped. */
  readonly keepStatusOnCreate?: boolean;
  /** Labels and annotations may be changed through the status subresource. */
  readonly metadataThroughStatus?: boolean;
  /** PUT to a name that does not exist creates it. */
  readonly createOnUpdate?: boolean;
  /** PUT without a resourceVersion is refused. */
  readonly versionRequiredOnUpdate?: boolean;
  /** A delete that removes at once answers the object instead of a Status. */
  readonly answersDeleted?: boolean;
  /** Counts changes of spec in metadata.generation. */
  readonly countsGenerations?: boolean;
  /** Writes of the kind go one after the other: what is allocated must not be allocated twice. */
  readonly exclusiveWrites?: boolean;
  /** The form this kind has in the store, where it shows another kind's objects. */
  readonly stored?: {
    readonly toStored: (object: ApiObject) => ApiObject;
    readonly fromStored: (object: ApiObject) => ApiObject;
  };
}
