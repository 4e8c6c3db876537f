import {nodeModule} from '../../files/node_module';

/** Runs a function; throws an error that begins with `what` if it takes longer than that many seconds. */
export type TimeLimit = <T>(what: string, seconds: number, body: () => T) => T;

/**
 * A limit for patterns of strangers, which can backtrack for years. Only Node can interrupt synchronous JavaScript, and
 * patterns too: null elsewhere. It costs a tenth of a millisecond, a thread that waits.
 */
export async function createTimeLimit(): Promise<TimeLimit | null> {
  if (globalThis.process?.versions?.node === undefined) return null;
  const {createContext, Script} = nodeModule('node:vm');
  const context: {body: (() => unknown) | null} = {body: null};
  createContext(context);
  const script = new Script('body()');
  return <T>(what: string, seconds: number, body: () => T): T => {
    context.body = body;
    try {
      return script.runInContext(context, {timeout: 1000 * seconds}) as T;
    } catch (error) {
      if ((error as {code?: string}).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error;
      throw new Error(`${what} took more than ${seconds} s and was stopped`, {cause: error});
    } finally {
      context.body = null;
    }
  };
}
