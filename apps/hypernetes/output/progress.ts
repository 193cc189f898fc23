/** Progress of long work: one line per step; on a terminal the running step is drawn over with its time. */
export interface Progress {
  /** Runs a step, showing its name, then how long it took. */
  step<T>(name: string, work: (note: (text: string) => void) => Promise<T>): Promise<T>;
}

const frames = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'] as const;

export function createProgress(stream: NodeJS.WriteStream = process.stderr): Progress {
  const isTerminal = stream.isTTY;
  return {
    async step(name, work) {
      const begin = Date.now();
      let note = '';
      let frame = 0;
      const draw = (): void => {
        frame = (frame + 1) % frames.length;
        stream.write(
          `\r\x1b[K${frames[frame] ?? ''} ${name}${note === '' ? '' : ` (${note})`} ${seconds(begin)}`,
        );
      };
      const timer = isTerminal ? setInterval(draw, 100) : undefined;
      try {
        const result = await work((text) => {
          note = text;
        });
        finish('✔');
        return result;
      } catch (error) {
        finish('✘');
        throw error;
      }
      function finish(mark: string): void {
        clearInterval(timer);
        stream.write(
          `${isTerminal ? '\r\x1b[K' : ''}${mark} ${name}${note === '' ? '' : ` (${note})`} ${seconds(begin)}\n`,
        );
      }
    },
  };
}

function seconds(begin: number): string {
  return `${((Date.now() - begin) / 1000).toFixed(1)} s`;
}
