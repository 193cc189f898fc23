/** Deepest nesting of a body; no Kubernetes type comes near it. */
const depthMax = 128;

export interface ScanResult {
  /** Paths of fields that occur twice in one object: `spec.containers[0].image`. */
  readonly duplicates: readonly string[];
  readonly tooDeep: boolean;
}

type Frame =
  | { readonly type: 'object'; readonly seen: Set<string>; key: string; expectKey: boolean }
  | { readonly type: 'array'; index: number };

/**
 * Looks at JSON text for what JSON.parse keeps silent about. Give it text that JSON.parse accepted: it does not check syntax again.
 * Never recurses, so hostile nesting costs nothing.
 */
export function scanJson(text: string): ScanResult {
  const frames: Frame[] = [];
  const duplicates: string[] = [];
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    const top = frames.at(-1);
    if (character === '"') {
      const end = endOfString(text, at);
      if (top?.type === 'object' && top.expectKey) {
        top.key = JSON.parse(text.slice(at, end + 1)) as string;
        top.expectKey = false;
        if (top.seen.has(top.key)) duplicates.push(pathOf(frames));
        top.seen.add(top.key);
      }
      at = end;
    } else if (character === '{' || character === '[') {
      if (frames.length >= depthMax) return { duplicates, tooDeep: true };
      frames.push(
        character === '{'
          ? { type: 'object', seen: new Set(), key: '', expectKey: true }
          : { type: 'array', index: 0 },
      );
    } else if (character === '}' || character === ']') {
      frames.pop();
    } else if (character === ',') {
      if (top?.type === 'object') top.expectKey = true;
      else if (top !== undefined) top.index += 1;
    }
  }
  return { duplicates, tooDeep: false };
}

/** Index of the closing quote of the string that opens at `from`. */
function endOfString(text: string, from: number): number {
  for (let at = from + 1; at < text.length; at++) {
    if (text[at] === '\\') at += 1;
    else if (text[at] === '"') return at;
  }
  return text.length;
}

function pathOf(frames: readonly Frame[]): string {
  let path = '';
  for (const frame of frames) {
    if (frame.type === 'array') path += `[${frame.index}]`;
    else path += path === '' ? frame.key : `.${frame.key}`;
  }
  return path;
}
