import { api, data } from "@/api/client";
import { notify } from "@/widgets/Toasts";

/** End the session and load the page anew, so that nothing of the account stays in memory. */
export async function logOut(): Promise<void> {
  try {
    await data(api.DELETE("/session"));
    location.assign("/login");
  } catch (fault) {
    notify(fault instanceof Error ? fault.message : String(fault));
  }
}
