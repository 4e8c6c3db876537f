import {Script} from 'node:vm';

/** Runs `body` while a tokenizer's time limits are a tenth of what they are, and of what their messages say. */
export async function withShortTimeLimits(body: () => Promise<void>): Promise<void> {
  const {prototype} = Script;
  const run = Object.getOwnPropertyDescriptor(prototype, 'runInContext')!;
  const value = function (this: Script, context: object, {timeout}: {timeout: number}): unknown {
    return (run.value as Script['runInContext']).call(this, context, {timeout: timeout / 10});
  };
  Object.defineProperty(prototype, 'runInContext', {...run, value});
  try {
    await body();
  } finally {
    Object.defineProperty(prototype, 'runInContext', run);
  }
}
