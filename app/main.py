"""STG Explorer: `streamlit run app/main.py`, from any folder."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    # Streamlit puts only the entry's folder on the path; the variable is for the jobs' processes.
    sys.path.insert(0, str(ROOT))
    inherited = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), inherited]))

import streamlit as st  # noqa: E402

from app import state, widgets  # noqa: E402
from app.address_bar import address_bar  # noqa: E402
from app.theme import follow_theme  # noqa: E402

state.read_url()
st.html(ROOT / "app" / "style.css")
st.set_page_config(
    page_title="STG Explorer", page_icon=str(ROOT / "assets" / "icon.svg"), layout="wide"
)
st.logo(
    str(ROOT / "assets" / "logo.svg"), icon_image=str(ROOT / "assets" / "icon.svg"), size="large"
)


def go_to_agreement() -> None:
    """Links of the first version name that page after what it held groupings against."""
    st.switch_page(state.AGREEMENT, query_params=st.query_params.to_dict())


page = st.navigation(
    [
        st.Page(state.START, title="Start", icon=":material/play_circle:", default=True),
        st.Page(state.LESSON, title="Lesson", icon=":material/school:"),
        st.Page(state.DATA_MAPS, title="Data maps", icon=":material/scatter_plot:"),
        st.Page(state.GROUPING, title="Grouping", icon=":material/workspaces:"),
        st.Page(state.AGREEMENT, title="Agreement", icon=":material/account_tree:"),
        st.Page(state.SPECIALISTS, title="Specialists", icon=":material/groups:"),
        st.Page(state.TRY, title="Try", icon=":material/photo_camera:"),
        st.Page(state.METHODS, title="Methods", icon=":material/balance:"),
        st.Page(state.STUDY, title="Study", icon=":material/grid_on:"),
        st.Page(go_to_agreement, url_path="superclasses", visibility="hidden"),
    ],
    position="hidden" if state.presenting() else "sidebar",
)
address_bar()  # before the page, which may take a while: what is clicked meanwhile counts too
with widgets.user_errors():
    page.run()
follow_theme()
state.shared().warm_up()
