import {
  applyPatch,
  badRequest,
  decodeObject,
  patchTypes,
  type ApiObject,
  type PatchType,
  type Schemas,
  type Subresource,
} from '../../api/index.ts';
import type { Clock } from '@hypernetes/foundation/lifecycle';
import type { Store } from '../../store/index.ts';
import { CachedObject } from '../cache/cached-object.ts';
import type { StoreDispatcher } from '../cache/store-dispatcher.ts';
import { contentTypeOf, negotiate } from '../http/negotiation.ts';
import type { RequestContext } from '../http/request-context.ts';
import { headerOf } from '../http/responder.ts';
import type { ResourceRequest } from '../http/request-info.ts';
import { readBody, sendValue, send } from '../http/responder.ts';
import { methodNotAllowed, notFound, unknownPath, unsupportedMediaType } from '../http/status-error.ts';
import type { Catalogue } from '../registry/catalogue.ts';
import { isStored } from '../registry/registration.ts';
import type { ResourceStorage, WriteContext } from '../registry/resource-storage.ts';
import { parseDeleteOptions } from './delete-options.ts';
import { Lister, parseListQuery } from './lister.ts';
import { parseIncludeObject, renderList, renderObject, type Rendering } from './representation.ts';
import { fieldValidationOf, isDryRun, parseJson, readObject, readRecord } from './request-body.ts';
import { parseSelection, type Selection } from './selection.ts';
import { serveWatch } from './watch.ts';

/** A request about a resource whose path was found good. */
export interface ResourceCall {
  readonly context: RequestContext;
  readonly info: ResourceRequest;
  readonly storage: ResourceStorage;
}

/** Answers one subresource (or a kind that is not stored) in its own way. */
export type SpecialHandler = (call: ResourceCall) => Promise<void>;

export interface ResourceHandlerOptions {
  readonly schemas: Schemas;
  readonly store: Store;
  readonly dispatcher: StoreDispatcher;
  readonly catalogue: Catalogue;
  readonly clock: Clock;
  /** By `<group>/<plural>/<subresource>`; `<group>/<plural>/` for kinds that are not stored. */
  readonly special: ReadonlyMap<string, SpecialHandler>;
  /** What the caller may see of a kind; undefined: everything. */
  readonly visibility: (
    context: RequestContext,
    storage: ResourceStorage,
  ) => ((object: ApiObject) => boolean) | undefined;
}

/** The verbs of the Kubernetes API on the kinds of the catalogue. */
export class ResourceHandler {
  readonly #options: ResourceHandlerOptions;
  readonly #lister: Lister;

  constructor(options: ResourceHandlerOptions) {
    this.#options = options;
    this.#lister = new Lister(options.store, options.dispatcher);
  }

  async handle(context: RequestContext, info: ResourceRequest): Promise<void> {
    const storage = this.#options.catalogue.find(info.group, info.version, info.resource);
    if (storage === undefined) throw unknownPath();
    checkPlace(info, storage);
    const call = { context, info, storage };
    const { kind } = storage.registration;
    const special = this.#options.special.get(`${kind.group}/${kind.plural}/${info.subresource}`);
    if (special !== undefined) {
      await special(call);
      return;
    }
    if (info.subresource !== '') await this.#handleSubresource(call);
    else await this.#handleMain(call);
  }

  async #handleMain(call: ResourceCall): Promise<void> {
    const { info, storage } = call;
    if (!isStored(storage.registration.kind) || !storage.registration.kind.verbs.includes(info.verb)) {
      throw methodNotAllowed(info.verb, storage.registration.kind);
    }
    switch (info.verb) {
      case 'get': {
        await this.#get(call);
        return;
      }
      case 'list': {
        await this.#list(call);
        return;
      }
      case 'watch': {
        await this.#watch(call);
        return;
      }
      case 'create': {
        await this.#create(call);
        return;
      }
      case 'update': {
        await this.#update(call);
        return;
      }
      case 'patch': {
        await this.#patch(call);
        return;
      }
      case 'delete': {
        await this.#delete(call);
        return;
      }
      case 'deletecollection': {
        await this.#deleteCollection(call);
        return;
      }
    }
  }

  async #handleSubresource(call: ResourceCall): Promise<void> {
    const { info, storage } = call;
    const { kind } = storage.registration;
    const subresource = kind.subresources.find((each) => each.name === info.subresource);
    if (subresource === undefined) throw unknownPath();
    if (!subresource.verbs.includes(info.verb) || subresource.name !== 'status') {
      throw methodNotAllowed(info.verb, { group: kind.group, plural: `${kind.plural}/${subresource.name}` });
    }
    if (info.verb === 'get') await this.#get(call);
    else if (info.verb === 'update') await this.#update(call);
    else await this.#patch(call);
  }

  async #get(call: ResourceCall): Promise<void> {
    const rendering = this.#rendering(call);
    await this.#answer(call, await this.#getVisible(call), 200, rendering);
  }

  async #getVisible({ context, info, storage }: ResourceCall): Promise<ApiObject> {
    const object = await storage.get(info);
    const visible = this.#options.visibility(context, storage);
    if (visible !== undefined && !visible(object)) throw notFound(storage.registration.kind, info.name);
    return object;
  }

  async #list(call: ResourceCall): Promise<void> {
    const { context, storage } = call;
    const rendering = this.#rendering(call);
    const page = await this.#lister.list(
      storage,
      this.#selection(call),
      parseListQuery(context.query),
      context.signal,
    );
    const text = renderList(page.items, page.metadata, rendering, this.#options.clock.now());
    await this.#answerText(call, text, 200, rendering);
  }

  async #watch(call: ResourceCall): Promise<void> {
    const { context, storage } = call;
    const rendering = this.#rendering(call);
    await serveWatch(context, this.#options.dispatcher, storage, this.#selection(call), rendering);
  }

  async #create(call: ResourceCall): Promise<void> {
    const { context, info, storage } = call;
    if (info.name !== '') throw methodNotAllowed('create', storage.registration.kind);
    const rendering = this.#rendering(call);
    const object = await readObject(context, this.#options.schemas, storage.registration.kind);
    checkNamespace(object, info);
    const created = await storage.create(info.namespace, object, writeContext(call));
    await this.#answer(call, created, 201, rendering);
  }

  async #update(call: ResourceCall): Promise<void> {
    const { context, info, storage } = call;
    const { kind, strategy } = storage.registration;
    const rendering = this.#rendering(call);
    const object = await readObject(context, this.#options.schemas, kind);
    checkNamespace(object, info);
    checkName(object, info);
    const create = strategy.createOnUpdate === true && info.subresource === '';
    if (
      create &&
      (object.metadata.resourceVersion ?? '') === '' &&
      (await storage.find(info)) === undefined
    ) {
      const created = await storage.create(info.namespace, object, writeContext(call));
      await this.#answer(call, created, 201, rendering);
      return;
    }
    await this.#getVisible(call);
    const updated = await storage.update(info, () => structuredClone(object), writeContext(call));
    await this.#answer(call, updated, 200, rendering);
  }

  async #patch(call: ResourceCall): Promise<void> {
    const { context, info, storage } = call;
    const rendering = this.#rendering(call);
    const type = patchTypeOf(context);
    const patch = parseJson((await readBody(context.request)).toString('utf8'));
    const fieldValidation = fieldValidationOf(context.query);
    await this.#getVisible(call);
    const updated = await storage.update(
      info,
      (old) => this.#patched(call, old, { type, patch, fieldValidation }),
      writeContext(call),
    );
    await this.#answer(call, updated, 200, rendering);
  }

  #patched(
    call: ResourceCall,
    old: ApiObject,
    request: { type: PatchType; patch: unknown; fieldValidation: ReturnType<typeof fieldValidationOf> },
  ): ApiObject {
    const { kind } = call.storage.registration;
    const { schemas } = this.#options;
    const patched = applyPatch(schemas, kind, old, request.type, request.patch);
    const { object, warnings } = decodeObject(schemas, kind, patched, {
      fieldValidation: request.fieldValidation,
    });
    call.context.warnings.splice(0, Infinity, ...warnings);
    checkName(object, call.info);
    return object;
  }

  async #delete(call: ResourceCall): Promise<void> {
    const { context, info, storage } = call;
    const { kind, strategy } = storage.registration;
    const rendering = this.#rendering(call);
    const options = parseDeleteOptions(await readRecord(context), context.query);
    await this.#getVisible(call);
    const write = { ...writeContext(call), dryRun: options.dryRun };
    const { object, removed } = await storage.delete(info, options, write);
    if (!removed || strategy.answersDeleted === true) {
      await this.#answer(call, object, 200, rendering);
      return;
    }
    const details = {
      name: info.name,
      ...(kind.group === '' ? {} : { group: kind.group }),
      kind: kind.plural,
      uid: object.metadata.uid,
    };
    const status = { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', details };
    await sendValue(context.request, context.response, status, {
      code: 200,
      warnings: context.warnings,
      encoding: rendering.representation.encoding,
    });
  }

  async #deleteCollection(call: ResourceCall): Promise<void> {
    const { context, storage } = call;
    const rendering = this.#rendering(call);
    const options = parseDeleteOptions(await readRecord(context), context.query);
    const selection = this.#selection(call);
    const page = await this.#lister.list(storage, selection, parseListQuery(context.query), context.signal);
    const write = { ...writeContext(call), dryRun: options.dryRun };
    for (const item of page.items) {
      const { name = '', namespace = '', uid } = item.object.metadata;
      // The uid holds the request to what was listed: an object made since under the same name stays.
      const preconditions = { ...options.preconditions, ...(uid === undefined ? {} : { uid }) };
      await ignoreGone(storage.delete({ namespace, name }, { ...options, preconditions }, write));
    }
    const text = renderList(page.items, page.metadata, rendering, this.#options.clock.now());
    await this.#answerText(call, text, 200, rendering);
  }

  #selection({ context, info, storage }: ResourceCall): Selection {
    const { kind } = storage.registration;
    return parseSelection(kind, info, context.query, this.#options.visibility(context, storage));
  }

  #rendering({ context, storage }: ResourceCall): Rendering {
    const { kind, columns } = storage.registration;
    return {
      kind,
      columns,
      representation: negotiate(headerOf(context.request, 'accept')),
      includeObject: parseIncludeObject(context.query.get('includeObject')),
    };
  }

  async #answer(call: ResourceCall, object: ApiObject, code: number, rendering: Rendering): Promise<void> {
    const item = new CachedObject({ key: '', value: '', modRevision: 0 }, object);
    await this.#answerText(call, renderObject(item, rendering, this.#options.clock.now()), code, rendering);
  }

  async #answerText(
    { context }: ResourceCall,
    text: string,
    code: number,
    rendering: Rendering,
  ): Promise<void> {
    const { request, response, warnings } = context;
    if (rendering.representation.encoding === 'yaml') {
      await sendValue(request, response, JSON.parse(text), { code, warnings, encoding: 'yaml' });
    } else {
      await send(request, response, text, { code, warnings, contentType: 'application/json' });
    }
  }
}

/** How the request writes: by whom, whether for real, to which part. */
export function writeContext({ context, info }: ResourceCall): WriteContext {
  return {
    user: context.user,
    dryRun: isDryRun(context.query),
    warnings: context.warnings,
    subresource: info.subresource,
  };
}

// Namespaced kinds are written in a namespace; kinds without namespaces are never found in one.
function checkPlace(info: ResourceRequest, storage: ResourceStorage): void {
  const { kind } = storage.registration;
  if (!kind.namespaced && info.namespace !== '') throw unknownPath();
  const onCollection = info.verb === 'update' || info.verb === 'patch';
  if (onCollection && info.name === '') throw methodNotAllowed(info.verb, kind);
  const everywhere = info.verb === 'list' || info.verb === 'watch' || info.verb === 'deletecollection';
  if (kind.namespaced && info.namespace === '' && (info.name !== '' || !everywhere)) {
    throw methodNotAllowed(info.verb, kind);
  }
}

function checkNamespace(object: ApiObject, info: ResourceRequest): void {
  const said = object.metadata.namespace ?? '';
  if (said !== '' && said !== info.namespace) {
    throw badRequest(
      `the namespace of the provided object does not match the namespace sent on the request (${said} is not ${info.namespace === '' ? 'empty' : info.namespace})`,
    );
  }
}

function checkName(object: ApiObject, info: ResourceRequest): void {
  const said = object.metadata.name ?? '';
  if (said !== '' && said !== info.name) {
    throw badRequest(`the name of the object (${said}) does not match the name on the URL (${info.name})`);
  }
}

function patchTypeOf(context: RequestContext): PatchType {
  const said = contentTypeOf(headerOf(context.request, 'content-type'));
  const type = patchTypes[said];
  // Server-side apply (application/apply-patch+yaml) has its place here: another content type, the same way through the storage.
  if (type === undefined) throw unsupportedMediaType(said, Object.keys(patchTypes));
  return type;
}

async function ignoreGone(deletion: Promise<unknown>): Promise<void> {
  try {
    await deletion;
  } catch (error) {
    const reason = (error as { reason?: unknown }).reason;
    if (reason !== 'NotFound' && reason !== 'Conflict') throw error;
  }
}

/** The description of a subresource in its kind; 404 when there is none. */
export function subresourceOf({ info, storage }: ResourceCall): Subresource {
  const found = storage.registration.kind.subresources.find((each) => each.name === info.subresource);
  if (found === undefined) throw unknownPath();
  return found;
}
