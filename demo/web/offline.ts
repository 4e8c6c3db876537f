/** Registers the service worker, which gives isolation on any host and keeps the page's files. */

const reloaded = 'reloaded for isolation';

/**
 * Where the host sends no isolation headers, the first visit loads once more, under those of the service worker; but not if somebody has
 * begun something there, which would be gone. Without service workers the page works as well, on one thread.
 */
export async function registerServiceWorker(): Promise<void> {
  if (!('serviceWorker' in navigator) || !import.meta.env.PROD) return;
  const {serviceWorker} = navigator;
  let isUsed = false;
  for (const type of ['click', 'input', 'drop']) addEventListener(type, () => (isUsed = true));
  try {
    await serviceWorker.register(new URL('service_worker.js', document.baseURI));
    const {active} = await serviceWorker.ready;
    if (!crossOriginIsolated && sessionStorage.getItem(reloaded) === null) {
      if (!serviceWorker.controller) {
        await new Promise((resolve) => {
          serviceWorker.addEventListener('controllerchange', resolve, {once: true});
          setTimeout(resolve, 3000);
        });
      }
      if (!isUsed) {
        sessionStorage.setItem(reloaded, 'yes');
        location.reload();
        return;
      }
    }
    whenIdle(() => active?.postMessage('keep all'));
  } catch (error) {
    console.info('Not kept for offline use:', error);
  }
}

/** Some seconds after the page is there; not for those who asked to save data. */
function whenIdle(work: () => void): void {
  const {connection} = navigator as {connection?: {saveData?: boolean}};
  if (connection?.saveData) return;
  setTimeout(work, 4000);
}
