/** The page of `storage.ts`. */
import {keptModels} from './kept_models';
import {killedSaves} from './killed_saves';
import {send} from './run_mocha';

const endpoint = new URL(location.href).searchParams.get('hub')!;
Promise.all([killedSaves(12), keptModels(endpoint)]).then(
  ([saves, models]) => send('/report', {saves, models}),
  (error: unknown) => send('/error', (error as Error).stack ?? String(error)),
);
